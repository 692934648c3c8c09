package versions

import (
	"slices"
	"strings"

	"github.com/oskadev/mailroom/bus/wire"
)

// mark notes which parts of a call and which results of steps expressions use. A run reads
// only those.
func (p *Plan) mark() {
	all := []*expression{p.output.result}
	var conditions []*expression
	for _, stage := range p.Stages {
		for _, s := range stage {
			all = append(all, s.args...)
			if s.when != nil {
				conditions = append(conditions, s.when)
			}
		}
	}
	all = slices.DeleteFunc(all, func(e *expression) bool { return e == nil }) // it has a fault
	for _, e := range all {
		if len(e.chain) == 2 && e.chain[0] == "path" {
			e.param = 1 + slices.IndexFunc(p.Args.Parameters, func(parameter wire.Argument) bool { return parameter.Name == e.chain[1] })
		}
	}
	computed := append(slices.DeleteFunc(slices.Clone(all), func(e *expression) bool { return e.param > 0 }), conditions...)
	looksInto := func(name string) bool {
		return slices.ContainsFunc(computed, func(e *expression) bool {
			return e.name != name && (strings.Contains(e.text, name) || strings.Contains(e.text, "$env")) // $env holds all names
		})
	}
	passesOn := func(name string) bool {
		return slices.ContainsFunc(computed, func(e *expression) bool { return e.name == name })
	}
	for i, s := range p.Steps() {
		s.place, s.read = i, looksInto(s.Name)
		s.used = s.read || passesOn(s.Name)
		if s.Name == p.output.step && p.output.result != nil && p.output.result.name == s.Name { // its envelope is passed on
			others := slices.ContainsFunc(computed, func(e *expression) bool { return e.name == s.Name && e != p.output.result })
			s.used = s.read || others
		}
	}
	p.Args.used = make(map[string]bool)
	for _, what := range []string{"path", "body", "query", "headers", "principal"} {
		p.Args.used[what] = looksInto(what) || passesOn(what)
	}
	p.output.computes = len(conditions) > 0 || slices.ContainsFunc(computed, func(e *expression) bool {
		return !slices.ContainsFunc(p.Steps(), func(s *Step) bool { return s.Name == e.name })
	})
}
