package workers

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/oskadev/mailroom/bus/wire"
)

// methods lists the HTTP methods that a route may have.
func methods() []string { return []string{"GET", "POST", "PUT", "PATCH", "DELETE"} }

// check reports the faults in the declaration of an action.
func (a *action) check(service string) []error {
	faults := a.faults
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("action %s: "+format, append([]any{a.declared.Name}, args...)...))
	}
	faults = append(faults, a.checkCaching()...)
	if a.declared.Lane != "" {
		if err := wire.CheckLane(a.declared.Lane, len(a.args)); err != nil {
			fault("%w", err)
		}
		if a.declared.Cache != nil {
			fault("Cache and Lane exclude each other: a cached answer does not wait in a lane")
		}
	}
	if a.timeout <= 0 {
		fault("timeout %v is not positive", a.timeout)
	}
	if a.concurrency < 0 {
		fault("concurrency %d is negative", a.concurrency)
	}
	pattern := regexp.MustCompile(`^/` + regexp.QuoteMeta(service) + `(/(:[a-z_][a-z0-9_]*|[A-Za-z0-9._~-]+))*$`)
	first := a.pathArguments()
	for _, route := range a.declared.Routes {
		method, path, _ := strings.Cut(route, " ")
		switch parameters := pathParameters(path); {
		case !slices.Contains(methods(), method):
			fault("route %q: want one of %s, then a path", route, strings.Join(methods(), ", "))
		case !pattern.MatchString(path):
			fault("route %q: want a path below /%s with literal and :parameter segments", route, service)
		case len(parameters) > len(a.args):
			fault("route %q has %d parameters, but the handler takes only %d arguments", route, len(parameters), len(a.args))
		case len(parameters) < len(a.args)-1:
			fault("route %q has %d parameters, but the handler takes %d arguments; only one can be the body or the query", route, len(parameters), len(a.args))
		case takesQuery(method) && len(parameters) < len(a.args) && !a.args[len(parameters)].shape.MayBeObject():
			fault("route %q: the last argument comes from the query, so its type has to be a struct or a map", route)
		case !sameNames(parameters, first):
			fault("route %q: its parameters need the names that they have in the first route: %s", route, strings.Join(first, ", "))
		case a.isSafe() && method == "DELETE":
			fault("route %q has the method DELETE, but the action is safe", route)
		}
	}
	return faults
}

// takesQuery reports whether the last argument of a route comes from the query.
func takesQuery(method string) bool { return method == "GET" || method == "DELETE" }

// sameNames reports whether two lists of parameters agree in the places that both have.
func sameNames(one, other []string) bool {
	n := min(len(one), len(other))
	return slices.Equal(one[:n], other[:n])
}

// pathArguments lists the arguments that come from the path: the parameters of the first
// route.
func (a *action) pathArguments() []string {
	if len(a.declared.Routes) == 0 {
		return nil
	}
	_, path, _ := strings.Cut(a.declared.Routes[0], " ")
	return pathParameters(path)
}

// pathParameters lists the names of a path's parameters, in order.
func pathParameters(path string) []string {
	var names []string
	for segment := range strings.SplitSeq(path, "/") {
		if name, ok := strings.CutPrefix(segment, ":"); ok {
			names = append(names, name)
		}
	}
	return names
}

// arguments describes the arguments for the manifest. The first route decides their names
// and where the gateway takes them from.
func (a *action) arguments() []wire.Argument {
	parameters, object := a.pathArguments(), ""
	if len(a.declared.Routes) > 0 {
		method, _, _ := strings.Cut(a.declared.Routes[0], " ")
		object = wire.InBody
		if takesQuery(method) {
			object = wire.InQuery
		}
	}
	list := make([]wire.Argument, len(a.args))
	for i, p := range a.args {
		switch {
		case i < len(parameters):
			list[i] = wire.Argument{Name: parameters[i], In: wire.InPath, Schema: p.schema}
		case object != "":
			list[i] = wire.Argument{Name: object, In: object, Schema: p.schema}
		default:
			list[i] = wire.Argument{Name: fmt.Sprintf("arg%d", i), Schema: p.schema}
		}
	}
	return list
}
