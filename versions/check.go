package versions

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/expr-lang/expr/types"

	"github.com/oskadev/mailroom/bus/registry"
	"github.com/oskadev/mailroom/bus/wire"
)

// Check holds a file against what services declare: a service that has not been seen
// is a warning, since it may come yet; anything else that does not fit is a fault.
func (f *File) Check(services registry.Snapshot) Faults {
	var faults Faults
	for _, v := range f.Versions {
		for _, p := range v.Plans {
			faults = append(faults, p.Check(services)...)
		}
	}
	return faults.sorted()
}

// Check holds one plan against what services declare: its expressions against what
// the steps give, and the arguments of each step against what its action takes.
func (p *Plan) Check(services registry.Snapshot) Faults {
	c := &checker{services: services, env: maps.Clone(p.inputs), known: outlines{}}
	c.inputs(p)
	for _, stage := range p.Stages {
		for _, s := range stage {
			c.depends = c.depends || s.when != nil
			c.expression(s.when, true)
			if s.Refusal == nil && s.Service != "" {
				c.step(s)
			}
		}
		for _, s := range stage { // from here on others may speak of them
			if s.Refusal != nil || s.Name == "" || c.env[s.Name] != nil {
				continue
			}
			c.env[s.Name] = types.Any
			if action := services[s.Service].Action(s.Action); action != nil {
				c.env[s.Name], c.known[s.Name] = typeOfJSON(action.Result), outlineOf(action.Result).orNull(s.when != nil)
			}
		}
	}
	c.expression(p.result, false)
	return c.faults
}

// checker holds a plan against what services declare.
type checker struct {
	services registry.Snapshot
	env      types.Map // what expressions may speak of
	known    outlines  // the same, as far as schemas tell
	depends  bool      // what a call brings may have been judged by a condition
	faults   Faults
}

func (c *checker) fault(line, column int, format string, args ...any) {
	c.faults = append(c.faults, Fault{Line: line, Column: column, Problem: fmt.Sprintf(format, args...)})
}

func (c *checker) warn(line, column int, format string, args ...any) {
	c.faults = append(c.faults, Fault{Line: line, Column: column, Warning: true, Problem: fmt.Sprintf(format, args...)})
}

// inputs notes what is known of what a call brings.
func (c *checker) inputs(p *Plan) {
	path := &outline{types: []string{"object"}, fields: make(map[string]*outline), closed: true}
	for _, parameter := range p.Parameters {
		path.fields[parameter.Name] = outlineOf(parameter.Schema)
		path.always = append(path.always, parameter.Name)
	}
	c.known["path"] = path
	if p.Object != nil {
		c.known[p.Object.Name] = outlineOf(p.Object.Schema)
	}
}

// expression gives what is known of the value of one, and notes what it says of steps
// that cannot be.
func (c *checker) expression(e *expression, wantBool bool) *outline {
	if e == nil { // there is none, or it was a fault before
		return nil
	}
	again, err := compile(e.text, c.env, wantBool)
	if err != nil {
		c.fault(e.line, e.column, "%s: %v", e.text, err)
		return nil
	}
	return c.known.of(again.program.Node())
}

// step holds one against its action.
func (c *checker) step(s *Step) {
	given := make([]*outline, len(s.args))
	for i, e := range s.args {
		given[i] = c.expression(e, false)
	}
	service := c.services[s.Service]
	if service == nil || service.Manifest == nil {
		c.warn(s.line, s.column, "the service %s has not been seen yet", s.Service)
		return
	}
	action := c.services[s.Service].Action(s.Action)
	if action == nil {
		c.fault(s.line, s.column, "%s has no action %s; it has %s", s.Service, s.Action, strings.Join(names(service.Manifest), ", "))
		return
	}
	if len(s.args) > len(action.Args) {
		c.fault(s.line, s.column, "%s %s takes %d arguments, not %d", s.Service, s.Action, len(action.Args), len(s.args))
		return
	}
	for i, arg := range action.Args {
		wanted := outlineOf(arg.Schema)
		if i >= len(s.args) {
			if arg.In == wire.InPath || arg.In == "" || wanted != nil && len(wanted.always) > 0 {
				c.fault(s.line, s.column, "%s %s: the argument %s is missing", s.Service, s.Action, arg.Name)
			}
			continue
		}
		c.argument(s, s.args[i], given[i], arg.Name, wanted)
	}
}

// argument holds what is given against what is wanted.
func (c *checker) argument(s *Step, e *expression, given *outline, name string, wanted *outline) {
	if e == nil {
		return
	}
	compared := comparison{tell: func(problem string) {
		c.fault(e.line, e.column, "%s %s: %s: %s", s.Service, s.Action, e.text, problem)
	}, maybe: func(problem string) {
		if !c.depends {
			c.warn(e.line, e.column, "%s %s: %s: %s", s.Service, s.Action, e.text, problem)
		}
	}, seen: make(map[[2]*outline]bool)}
	compared.compare(given, wanted, name, true)
}

func names(m *wire.Manifest) []string {
	list := make([]string, len(m.Actions))
	for i := range m.Actions {
		list[i] = m.Actions[i].Name
	}
	slices.Sort(list)
	return list
}
