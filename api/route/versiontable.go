package route

import (
	"log/slog"
	"slices"
	"strings"

	"github.com/oskadev/mailroom/bus/registry"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/versions"
)

// versionTable holds the routes of one version.
type versionTable struct {
	root  *node
	plans map[string]*Route // by method and shape of the path
	versions.Retirement
}

// newVersionTable returns the table of a version. It logs and leaves out a route that
// cannot be served.
func newVersionTable(v *versions.Version, services registry.Snapshot, log *slog.Logger) *versionTable {
	t := &versionTable{root: &node{}, plans: make(map[string]*Route), Retirement: v.Retirement}
	for _, p := range v.Plans {
		scopes, unknown := p.Needs(services)
		action := &wire.Action{
			Name: p.Name(), Summary: p.Summary, Safe: p.Safe(services), TimeoutMillis: p.Timeout.Milliseconds(),
			Args: append(slices.Clone(p.Args.Parameters), *p.Args.Object), Scopes: scopes,
		}
		r := &Route{Service: wire.ReservedService, Pattern: p.Method + " /" + p.Version + p.Path, Action: action, object: p.Args.Object.In, Plan: p, Unknown: unknown}
		r.counted = []string{r.Pattern}
		for _, step := range p.Steps() {
			if called := services[step.Service].Action(step.Action); called != nil {
				r.counted = append(r.counted, called.Routes...)
			}
		}
		n, parameters, err := t.root.place(p.Path)
		if err == nil {
			r.arguments, err = newArguments(action, parameters)
		}
		if err != nil {
			log.Error("left out a route", "route", p.Name(), "error", err)
			continue
		}
		t.plans[shapeOf(p.Method+" "+p.Path)] = r
		n.set(p.Method, r) // the parser refuses a file with a route twice
	}
	return t
}

// moreLiteral reports whether the first of two patterns that match one path has a literal
// segment where the second has a parameter, at the first difference.
func moreLiteral(pattern, other string) bool {
	one, two := strings.Split(pattern, "/"), strings.Split(other, "/")
	for i := range min(len(one), len(two)) {
		if first, second := strings.HasPrefix(one[i], ":"), strings.HasPrefix(two[i], ":"); first != second {
			return second
		}
	}
	return false
}
