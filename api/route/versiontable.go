package route

import (
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/oskadev/mailroom/api/exchange"
	"github.com/oskadev/mailroom/bus/registry"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/versions"
)

// versionTable finds the routes of one version.
type versionTable struct {
	root *node
	versions.Retirement
}

func newVersionTable(v *versions.Version, services registry.Snapshot, log *slog.Logger) *versionTable {
	t := &versionTable{root: &node{}, Retirement: v.Retirement}
	for _, p := range v.Plans {
		scopes, unknown := p.Needs(services)
		action := &wire.Action{
			Name: p.Name(), Summary: p.Summary, Safe: p.Safe(services), TimeoutMillis: p.Timeout.Milliseconds(),
			Args: append(slices.Clone(p.Args.Parameters), *p.Args.Object), Scopes: scopes,
		}
		r := &Route{Service: wire.ReservedService, Pattern: p.Method + " /" + p.Version + p.Path, Action: action, object: p.Args.Object.In, Plan: p, Unknown: unknown}
		n, parameters, err := t.root.place(p.Path)
		if err == nil {
			r.arguments, err = newArguments(action, parameters)
		}
		if err != nil {
			log.Error("left out a route", "route", p.Name(), "error", err)
			continue
		}
		if n.methods == nil {
			n.methods = make(map[string]*Route)
		}
		n.methods[p.Method] = r
	}
	return t
}

// isVersion reports whether a path's first segment names a version of the API.
func isVersion(segment string) bool {
	if len(segment) < 2 || segment[0] != 'v' {
		return false
	}
	_, err := strconv.ParseUint(segment[1:], 10, 32)
	return err == nil
}

// find gives the route of a call: the version's own, or the service's.
func (t *Table) Find(in *exchange.Request, segments []string) (r *Route, params, allowed []string, known bool) {
	if !isVersion(segments[0]) {
		r, params, allowed = t.Match(exchange.LookupMethod(in.Method), segments, nil)
		return r, params, allowed, true
	}
	v := t.versions[segments[0]]
	if v == nil {
		return nil, nil, nil, false
	}
	in.Version = segments[0]
	own := &Table{root: v.root}
	r, params, more := own.Match(exchange.LookupMethod(in.Method), segments[1:], nil)
	if r != nil && len(params) == 0 {
		return r, params, nil, true
	}
	service, values, allowed := t.Match(exchange.LookupMethod(in.Method), segments[1:], nil)
	switch {
	case r != nil && (service == nil || !moreLiteral(service.Pattern, r.Plan.Method+" "+r.Plan.Path)):
		return r, params, nil, true
	case service != nil:
		return service, values, nil, true
	}
	allowed = append(allowed, more...)
	slices.Sort(allowed)
	return nil, nil, slices.Compact(allowed), true
}

// moreLiteral reports whether of two patterns that match one path the first has a literal
// segment where they first differ.
func moreLiteral(pattern, other string) bool {
	one, two := strings.Split(pattern, "/"), strings.Split(other, "/")
	for i := range min(len(one), len(two)) {
		if first, second := strings.HasPrefix(one[i], ":"), strings.HasPrefix(two[i], ":"); first != second {
			return second
		}
	}
	return false
}

// retire tells callers that what they call will go: Deprecation
// (https://www.rfc-editor.org/rfc/rfc9745) and Sunset
// (https://www.rfc-editor.org/rfc/rfc8594).
func (t *Table) Retire(res *fasthttp.Response, in *exchange.Request, r *Route) {
	if in.Version == "" {
		return
	}
	when := t.versions[in.Version].Retirement
	if r != nil && r.Plan != nil {
		when = r.Plan.Retirement
	}
	if !when.Deprecated.IsZero() {
		res.Header.Set("Deprecation", "@"+strconv.FormatInt(when.Deprecated.Unix(), 10))
	}
	if !when.Sunset.IsZero() {
		res.Header.Set("Sunset", when.Sunset.UTC().Format(http.TimeFormat))
	}
}
