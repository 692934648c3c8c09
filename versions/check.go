package versions

import (
	"maps"
	"slices"
	"strings"

	"github.com/expr-lang/expr/types"

	"github.com/oskadev/mailroom/bus/registry"
	"github.com/oskadev/mailroom/bus/wire"
)

// Check compares a file with the manifests of the services. A service without a
// manifest is a warning, because it may start later; every other mismatch is an error.
func (f *File) Check(services registry.Snapshot) Faults {
	var faults Faults
	for _, v := range f.Versions {
		for _, p := range v.Plans {
			faults = append(faults, p.Check(services)...)
		}
	}
	return faults.sorted()
}

// Check compares one plan with the manifests of the services: its expressions with the
// results of the steps, and the arguments of each step with those of its action.
func (p *Plan) Check(services registry.Snapshot) Faults {
	c := &checker{services: services, env: maps.Clone(p.Args.types), known: outlines{}}
	c.inputs(&p.Args)
	for _, stage := range p.Stages {
		for _, s := range stage {
			c.depends = c.depends || s.when != nil
			c.expression(s.when, true)
			if s.Refusal == nil && s.Service != "" {
				c.step(s)
			}
		}
		for _, s := range stage { // expressions of later stages may use them
			if s.Refusal != nil || s.Name == "" || c.env[s.Name] != nil {
				continue
			}
			c.env[s.Name] = types.Any
			if action := services[s.Service].Action(s.Action); action != nil {
				c.env[s.Name], c.known[s.Name] = typeOfJSON(action.Result), outlineOf(action.Result).orNull(s.when != nil)
			}
		}
	}
	c.expression(p.output.result, false)
	return c.faults
}

// checker compares a plan with the manifests of services.
type checker struct {
	services registry.Snapshot
	env      types.Map // the types of the names that expressions may use
	known    outlines  // of the same names, as far as schemas declare them
	depends  bool      // a condition may have checked the arguments of the call already
	faults   Faults
}

// inputs stores the outlines of the arguments of a route.
func (c *checker) inputs(args *Arguments) {
	path := &outline{types: []string{"object"}, fields: make(map[string]*outline), closed: true}
	for _, parameter := range args.Parameters {
		path.fields[parameter.Name] = outlineOf(parameter.Schema)
		path.always = append(path.always, parameter.Name)
	}
	c.known["path"] = path
	if args.Object != nil {
		c.known[args.Object.Name] = outlineOf(args.Object.Schema)
	}
}

// expression returns the outline of the value of an expression, and reports whatever does
// not fit the types of the names in it.
func (c *checker) expression(e *expression, wantBool bool) *outline {
	if e == nil { // there is none, or it has a fault already
		return nil
	}
	again, err := compile(e.text, c.env, wantBool)
	if err != nil {
		c.faults.add(e.at, "%s: %v", e.text, err)
		return nil
	}
	return c.known.of(again.program.Node())
}

// step compares the arguments of a step with those of its action.
func (c *checker) step(s *Step) {
	given := make([]*outline, len(s.args))
	for i, e := range s.args {
		given[i] = c.expression(e, false)
	}
	service := c.services[s.Service]
	if service == nil || service.Manifest == nil {
		c.faults.warn(s.at, "the service %s has not been seen yet", s.Service)
		return
	}
	action := c.services[s.Service].Action(s.Action)
	if action == nil {
		c.faults.add(s.at, "%s has no action %s; it has %s", s.Service, s.Action, strings.Join(names(service.Manifest), ", "))
		return
	}
	if len(s.args) > len(action.Args) {
		c.faults.add(s.at, "%s %s takes %d arguments, not %d", s.Service, s.Action, len(action.Args), len(s.args))
		return
	}
	for i, arg := range action.Args {
		wanted := outlineOf(arg.Schema)
		if i >= len(s.args) {
			if arg.In == wire.InPath || arg.In == "" || wanted != nil && len(wanted.always) > 0 {
				c.faults.add(s.at, "%s %s: the argument %s is missing", s.Service, s.Action, arg.Name)
			}
			continue
		}
		c.argument(s, s.args[i], given[i], arg.Name, wanted)
	}
}

// argument compares one argument of a step with the schema that its action declares.
func (c *checker) argument(s *Step, e *expression, given *outline, name string, wanted *outline) {
	if e == nil {
		return
	}
	compared := comparison{never: func(problem string) {
		c.faults.add(e.at, "%s %s: %s: %s", s.Service, s.Action, e.text, problem)
	}, maybe: func(problem string) {
		if !c.depends {
			c.faults.warn(e.at, "%s %s: %s: %s", s.Service, s.Action, e.text, problem)
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
