package route

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	"github.com/oskadev/mailroom/versions"
)

// Versions returns the names of the versions, in ascending order.
func (t *Table) Versions() []string {
	number := func(name string) int {
		n, _ := strconv.Atoi(name[1:]) // the parser of versions files has checked it
		return n
	}
	return slices.SortedFunc(maps.Keys(t.versions), func(a, b string) int { return cmp.Compare(number(a), number(b)) })
}

// Retirement returns when a version ends.
func (t *Table) Retirement(version string) versions.Retirement {
	if v := t.versions[version]; v != nil {
		return v.Retirement
	}
	return versions.Retirement{}
}

// Routes returns the routes that are served: those of the services, or those of a version.
// A version has its own routes, and those of the services that it does not replace. Routes
// that only some live builds serve are left out. found is false for a version that does not
// exist.
func (t *Table) Routes(version string) (routes []*Route, found bool) {
	if version == "" {
		return slices.Clone(t.served), true
	}
	v := t.versions[version]
	if v == nil {
		return nil, false
	}
	for _, shape := range slices.Sorted(maps.Keys(v.plans)) {
		routes = append(routes, v.plans[shape])
	}
	for _, r := range t.served {
		if v.plans[shapeOf(r.Pattern)] == nil {
			routes = append(routes, r)
		}
	}
	return routes, true
}

// Replaced returns the route of a service that a route of a version replaces; nil: there is
// none.
func (t *Table) Replaced(r *Route) *Route {
	if r.Plan == nil {
		return nil
	}
	shape := shapeOf(r.Plan.Method + " " + r.Plan.Path)
	for _, other := range t.served {
		if shapeOf(other.Pattern) == shape {
			return other
		}
	}
	return nil
}
