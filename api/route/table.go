package route

import (
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/oskadev/mailroom/api/exchange"
	"github.com/oskadev/mailroom/bus/registry"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/versions"
)

// table finds the action behind a method and a path. It is built anew whenever
// the services change, and then only read.
type Table struct {
	root     *node
	Services registry.Snapshot
	patterns map[string]bool // of all routes, as services declare them
	versions map[string]*versionTable
}

// node is one segment of the paths. A literal child beats the parameter.
type node struct {
	literals  map[string]*node
	parameter *node
	methods   map[string]*Route
}

// route is one method at one path.
type Route struct {
	Service   string
	Pattern   string // as the service declares it
	Action    *wire.Action
	arguments *arguments
	object    string         // bus.InBody or bus.InQuery: where the last argument is
	Caching   *caching       // nil: each call runs
	Plan      *versions.Plan // what it is composed of; nil: it is a service's own
	Unknown   string         // a service that the plan asks for and that has not said yet which scopes it wants
}

// buildTable collects the routes of all services. A route that cannot be served
// is logged and left out; it never hides the others.
func BuildTable(services registry.Snapshot, log *slog.Logger) *Table {
	t := &Table{root: &node{}, Services: services, patterns: make(map[string]bool)}
	for _, name := range slices.Sorted(maps.Keys(services)) {
		s := services[name]
		if s.Manifest == nil {
			continue
		}
		for i := range s.Manifest.Actions {
			action := &s.Manifest.Actions[i]
			for _, pattern := range action.Routes {
				if err := t.add(name, action, pattern); err != nil {
					log.Error("left out a route", "service", name, "action", action.Name, "route", pattern, "error", err)
				}
			}
		}
	}
	return t
}

func (t *Table) add(service string, action *wire.Action, pattern string) error {
	method, path, _ := strings.Cut(pattern, " ")
	switch method {
	case http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
	default:
		return fmt.Errorf("method %q is not one of GET, POST, PUT, PATCH, DELETE", method)
	}
	if path != "/"+service && !strings.HasPrefix(path, "/"+service+"/") {
		return fmt.Errorf("path %q does not begin with /%s", path, service)
	}
	r := &Route{Service: service, Pattern: pattern, Action: action, object: wire.InBody, Caching: newCaching(action)}
	if method == http.MethodGet || method == http.MethodDelete {
		r.object = wire.InQuery
	}
	for _, scope := range action.Scopes {
		if err := wire.CheckScope(scope); err != nil {
			return err // nobody has it, and it goes into a header
		}
	}
	n, parameters, err := t.root.place(path)
	if err != nil {
		return err
	}
	if r.arguments, err = newArguments(action, parameters); err != nil {
		return err
	}
	if n.methods == nil {
		n.methods = make(map[string]*Route)
	}
	if other := n.methods[method]; other != nil {
		return fmt.Errorf("%s has it already", other.Action.Name)
	}
	n.methods[method] = r
	t.patterns[pattern] = true
	return nil
}

// place gives the node of a path, made where it is missing, and how many parameters
// lie on the way.
func (n *node) place(path string) (at *node, parameters int, err error) {
	if strings.Count(path, "/") > maxSegments {
		return nil, 0, fmt.Errorf("path %q has more than %d segments", path, maxSegments)
	}
	for segment := range strings.SplitSeq(path[1:], "/") {
		if strings.HasPrefix(segment, ":") {
			parameters++
			if n.parameter == nil {
				n.parameter = &node{}
			}
			n = n.parameter
			continue
		}
		if segment == "" {
			return nil, 0, fmt.Errorf("path %q has an empty segment", path)
		}
		if n.literals == nil {
			n.literals = make(map[string]*node)
		}
		if n.literals[segment] == nil {
			n.literals[segment] = &node{}
		}
		n = n.literals[segment]
	}
	return n, parameters, nil
}

// maxSegments is how many segments a route has at most; a longer path matches nothing.
const maxSegments = versions.MaxSegments

// match finds the route of a method and a path's segments, and appends the
// values of its parameters. Without a route it tells which methods the path
// has; none: there is no such path.
func (t *Table) Match(method string, segments, params []string) (*Route, []string, []string) {
	if len(segments) > maxSegments {
		return nil, nil, nil
	}
	var allowed []string
	r, params := t.root.match(method, segments, params, &allowed)
	if r != nil {
		return r, params, nil
	}
	slices.Sort(allowed)
	return nil, nil, slices.Compact(allowed)
}

func (n *node) match(method string, segments, params []string, allowed *[]string) (*Route, []string) {
	if len(segments) == 0 {
		if r := n.methods[method]; r != nil {
			return r, params
		}
		for m := range n.methods {
			*allowed = append(*allowed, m)
		}
		return nil, nil
	}
	if child := n.literals[segments[0]]; child != nil {
		if r, p := child.match(method, segments[1:], params, allowed); r != nil {
			return r, p
		}
		if len(*allowed) > 0 {
			// The path is this literal one, also for other methods.
			return nil, nil
		}
	}
	if n.parameter != nil && segments[0] != "" {
		return n.parameter.match(method, segments[1:], append(params, segments[0]), allowed)
	}
	return nil, nil
}

// outcomeAt is the path that tells the outcome of a request; empty: none is kept.
func (r *Route) OutcomeAt(in *exchange.Request) string {
	if r.Action.Safe && r.Action.Lane == "" {
		return ""
	}
	return wire.Location(r.Service, in.ID.String())
}
