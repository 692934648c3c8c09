package route

import (
	"fmt"
	"log/slog"
	"maps"
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

// Table finds the route of a request. It is read-only: a change makes a new table.
type Table struct {
	Services registry.Snapshot

	root     *node
	served   []*Route          // of the services, in the order of services and actions
	patterns map[string]bool   // of all routes, as services declare them
	actions  map[string]*Route // the first route of each action, by service and name
	versions map[string]*versionTable
	compiled map[declaration]*compilation
	known    map[declaration]*compilation // those of the table before, while this one is built
}

// declaration names the arguments of an action for a number of path parameters. Manifests
// do not change: a change is another manifest.
type declaration struct {
	action     *wire.Action
	parameters int
}

// compilation is what newArguments returns.
type compilation struct {
	args *arguments
	err  error
}

// newTable returns an empty table. before is the table that it replaces, or nil: what has
// been compiled for it is not compiled again.
func newTable(before *Table) *Table {
	t := &Table{
		root: &node{}, patterns: make(map[string]bool), actions: make(map[string]*Route), versions: make(map[string]*versionTable),
		compiled: make(map[declaration]*compilation),
	}
	if before != nil {
		t.known = before.compiled
	}
	return t
}

// buildTable returns the table of the services and of a versions file; nil: none. It logs
// and leaves out a route that cannot be served.
func buildTable(services registry.Snapshot, file *versions.File, before *Table, log *slog.Logger) *Table {
	t := newTable(before)
	defer func() { t.known = nil }() // it would keep all earlier tables in memory
	t.Services = services
	names := slices.Sorted(maps.Keys(services))
	for _, name := range names {
		t.addService(services[name], log)
	}
	for _, name := range names { // behind all routes that are served
		for _, pattern := range services[name].Partial {
			if t.addPartial(name, pattern) && services[name].Live() {
				log.Warn("a route is not served, because some live builds do not declare it", "service", name, "route", pattern)
			}
		}
	}
	if file == nil {
		return t
	}
	for _, v := range file.Versions {
		t.versions[v.Name] = newVersionTable(v, services, log)
		for _, p := range v.Plans {
			t.patterns[p.Name()] = true
		}
	}
	return t
}

// addService adds the routes of a service.
func (t *Table) addService(s *registry.Service, log *slog.Logger) {
	if s.Manifest == nil {
		return
	}
	for i := range s.Manifest.Actions {
		action := &s.Manifest.Actions[i]
		variants := s.Variants[action.Name]
		for _, pattern := range action.Routes {
			err := t.add(s.Name, action, pattern, variants...)
			if err == nil {
				continue
			}
			log.Error("left out a route", "service", s.Name, "action", action.Name, "route", pattern, "error", err)
			if len(variants) > 0 {
				t.addPartial(s.Name, pattern)
			}
		}
	}
}

// addPartial adds a route that only some live builds of a service serve: its requests get
// neither 404 nor a less literal route. It reports false if the path is not valid or another
// route has it.
func (t *Table) addPartial(service, pattern string) bool {
	method, path, err := splitPattern(service, pattern)
	if err != nil {
		return false
	}
	n, _, err := t.root.place(path)
	return err == nil && n.set(method, &Route{Service: service, Pattern: pattern, Partial: true}) == nil
}

// Check returns why a gateway cannot serve a route of an action; nil: it can. variants are
// the declarations of the action by other live builds.
func Check(service string, action *wire.Action, pattern string, variants ...*wire.Action) error {
	t := newTable(nil)
	return t.add(service, action, pattern, variants...)
}

// add adds one route of an action. variants are its declarations by other live builds.
func (t *Table) add(service string, action *wire.Action, pattern string, variants ...*wire.Action) error {
	method, path, err := splitPattern(service, pattern)
	if err != nil {
		return err
	}
	r := &Route{Service: service, Pattern: pattern, Action: action, object: wire.InBody, Caching: newCaching(action), counted: []string{pattern}}
	if method == http.MethodGet || method == http.MethodDelete {
		r.object = wire.InQuery
	}
	for _, scope := range action.Scopes {
		if err := wire.CheckScope(scope); err != nil {
			return err // nobody could have it, and it would go into a header
		}
	}
	n, parameters, err := t.root.place(path)
	if err != nil {
		return err
	}
	if r.arguments, err = t.argumentsOf(r, action, path, parameters); err != nil {
		return err
	}
	for _, variant := range variants {
		other, err := t.argumentsOf(r, variant, path, parameters)
		if err != nil {
			return fmt.Errorf("another live build: %w", err)
		}
		r.variants = append(r.variants, other)
	}
	if other := n.set(method, r); other != nil {
		return fmt.Errorf("%s has the same route", other.Action.Name)
	}
	t.patterns[pattern] = true
	t.served = append(t.served, r)
	if key := service + " " + action.Name; t.actions[key] == nil {
		t.actions[key] = r
	}
	return nil
}

// argumentsOf returns the arguments of a declaration, if they fit the path of the route.
func (t *Table) argumentsOf(r *Route, action *wire.Action, path string, parameters int) (*arguments, error) {
	if err := checkParameters(action, path); err != nil {
		return nil, err
	}
	args, err := t.compile(action, parameters)
	if err != nil {
		return nil, err
	}
	if o := args.object; o != nil && r.object == wire.InQuery && !o.mayBeObject() {
		return nil, fmt.Errorf("argument %s comes from the query, so its schema has to be an object", o.name)
	}
	return args, nil
}

// compile returns newArguments, once for each declaration.
func (t *Table) compile(action *wire.Action, parameters int) (*arguments, error) {
	key := declaration{action, parameters}
	done := t.compiled[key]
	if done == nil {
		if done = t.known[key]; done == nil {
			args, err := newArguments(action, parameters)
			done = &compilation{args, err}
		}
		t.compiled[key] = done
	}
	return done.args, done.err
}

// splitPattern returns the method and the path of a service's route.
func splitPattern(service, pattern string) (method, path string, err error) {
	method, path, _ = strings.Cut(pattern, " ")
	switch method {
	case http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
	default:
		return "", "", fmt.Errorf("method %q is not one of GET, POST, PUT, PATCH, DELETE", method)
	}
	if path != "/"+service && !strings.HasPrefix(path, "/"+service+"/") {
		return "", "", fmt.Errorf("path %q does not begin with /%s", path, service)
	}
	return method, path, nil
}

// checkParameters checks that each parameter of a path has the name of the argument in
// its place. An argument that the manifest does not take from the path may have any name.
func checkParameters(action *wire.Action, path string) error {
	place := 0
	for segment := range strings.SplitSeq(path, "/") {
		if strings.ContainsAny(segment, "{}") {
			return fmt.Errorf("segment %q: a parameter is written :name, without braces", segment)
		}
		name, ok := strings.CutPrefix(segment, ":")
		if !ok {
			continue
		}
		if place < len(action.Args) {
			if arg := action.Args[place]; arg.In == wire.InPath && arg.Name != name {
				return fmt.Errorf("parameter :%s stands in the place of the argument %s", name, arg.Name)
			}
		}
		place++
	}
	return nil
}

// isVersion reports whether a path's first segment names a version of the API.
func isVersion(segment string) bool {
	if len(segment) < 2 || segment[0] != 'v' {
		return false
	}
	_, err := strconv.ParseUint(segment[1:], 10, 32)
	return err == nil
}

// Find returns the route of a request, of its version or of a service, and the values of
// its parameters. Without a route it returns the methods that the path has. known is false
// for a version that does not exist. Find sets the version of the request.
func (t *Table) Find(in *exchange.Request, segments []string) (r *Route, params, allowed []string, known bool) {
	method := exchange.LookupMethod(in.Method)
	if !isVersion(segments[0]) {
		r, params, allowed = t.root.find(method, segments)
		return r, params, allowed, true
	}
	v := t.versions[segments[0]]
	if v == nil {
		return nil, nil, nil, false
	}
	in.Version = segments[0]
	r, params, more := v.root.find(method, segments[1:])
	if r != nil && len(params) == 0 {
		return r, params, nil, true
	}
	service, values, allowed := t.root.find(method, segments[1:])
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

// Retire sets the headers of a deprecated version or composition: Deprecation
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
