package versions

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/oskadev/mailroom/bus"
)

// Check holds a file against what services declare: a service that has not been seen
// is a warning, since it may come yet; anything else that does not fit is a fault.
func (f *File) Check(services bus.Snapshot) Faults {
	var faults Faults
	for _, v := range f.Versions {
		for _, p := range v.Plans {
			faults = append(faults, p.Check(services)...)
		}
	}
	return faults.sorted()
}

// Check holds one plan against what services declare.
func (p *Plan) Check(services bus.Snapshot) Faults {
	var faults Faults
	for _, s := range p.Steps() {
		fault := func(warning bool, format string, args ...any) {
			faults = append(faults, Fault{Line: s.line, Column: s.column, Warning: warning, Problem: fmt.Sprintf(format, args...)})
		}
		service := services[s.Service]
		if service == nil || service.Manifest == nil {
			fault(true, "the service %s has not been seen yet", s.Service)
			continue
		}
		action := find(services, s.Service, s.Action)
		if action == nil {
			fault(false, "%s has no action %s; it has %s", s.Service, s.Action, strings.Join(names(service.Manifest), ", "))
			continue
		}
		if len(s.args) > len(action.Args) {
			fault(false, "%s %s takes %d arguments, not %d", s.Service, s.Action, len(action.Args), len(s.args))
			continue
		}
		for i, arg := range action.Args {
			schema := declared(arg.Schema)
			switch {
			case i >= len(s.args) && (arg.In == bus.InPath || len(schema.Required) > 0 || arg.In == ""):
				fault(false, "%s %s: the argument %s is missing", s.Service, s.Action, arg.Name)
			case i < len(s.args) && !fits(s.args[i].kind, schema.kinds()):
				fault(false, "%s %s: %s has to be of type %s; %s is of type %s",
					s.Service, s.Action, arg.Name, strings.Join(schema.kinds(), " or "), s.args[i].text, s.args[i].kind)
			}
		}
	}
	return faults
}

func names(m *bus.Manifest) []string {
	list := make([]string, len(m.Actions))
	for i := range m.Actions {
		list[i] = m.Actions[i].Name
	}
	slices.Sort(list)
	return list
}

// outline is what of a JSON schema is looked at.
type outline struct {
	Type     any      `json:"type"`
	Required []string `json:"required"`
}

func declared(schema json.RawMessage) outline {
	var o outline
	_ = json.Unmarshal(schema, &o) // another one says nothing of types
	return o
}

func (o outline) kinds() []string {
	switch t := o.Type.(type) {
	case string:
		return []string{t}
	case []any:
		var kinds []string
		for _, one := range t {
			if name, ok := one.(string); ok {
				kinds = append(kinds, name)
			}
		}
		return kinds
	}
	return nil
}

// fits reports whether a kind that is known beforehand can be one of these.
func fits(kind string, kinds []string) bool {
	if kind == "" || len(kinds) == 0 || slices.Contains(kinds, kind) {
		return true
	}
	return slices.Contains(kinds, "number") && kind == "integer" || slices.Contains(kinds, "integer") && kind == "number"
}
