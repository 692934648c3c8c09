package workers

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/oskadev/mailroom/bus/wire"
)

// Methods that a route may have.
func methods() []string { return []string{"GET", "POST", "PUT", "PATCH", "DELETE"} }

// check says what is wrong with an action's declaration.
func (a *action) check(service string) []error {
	faults := a.faults
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("action %s: "+format, append([]any{a.name}, args...)...))
	}
	faults = append(faults, a.checkCaching()...)
	if a.lane != "" {
		if err := wire.CheckLane(a.lane, len(a.args)); err != nil {
			fault("%w", err)
		}
		if a.cache != nil {
			fault("a cached answer is given without a turn in a lane: Cache and Lane exclude each other")
		}
	}
	if a.timeout <= 0 {
		fault("timeout %v is not positive", a.timeout)
	}
	if a.concurrency < 0 {
		fault("concurrency %d is negative", a.concurrency)
	}
	pattern := regexp.MustCompile(`^/` + regexp.QuoteMeta(service) + `(/(:[a-z_][a-z0-9_]*|[A-Za-z0-9._~-]+))*$`)
	for _, route := range a.routes {
		method, path, _ := strings.Cut(route, " ")
		switch parameters := pathParameters(path); {
		case !slices.Contains(methods(), method):
			fault("route %q: want one of %s, then a path", route, strings.Join(methods(), ", "))
		case !pattern.MatchString(path):
			fault("route %q: want a path below /%s of literal or :parameter segments", route, service)
		case len(parameters) > len(a.args):
			fault("route %q has %d parameters, the handler takes %d arguments", route, len(parameters), len(a.args))
		case len(parameters) < len(a.args)-1:
			fault("route %q has %d parameters; the handler takes %d arguments, of which one may be the body or the query", route, len(parameters), len(a.args))
		case a.isSafe() && method == "DELETE":
			fault("route %q deletes, but the action is declared safe", route)
		}
	}
	return faults
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

// argumentNames says what the arguments are called and where a REST call
// takes them from, by the action's first route.
func (a *action) argumentNames() (names, in []string) {
	var parameters []string
	object, method := "", ""
	if len(a.routes) > 0 {
		var path string
		method, path, _ = strings.Cut(a.routes[0], " ")
		parameters = pathParameters(path)
		object = wire.InBody
		if method == "GET" || method == "DELETE" {
			object = wire.InQuery
		}
	}
	for i := range a.args {
		switch {
		case i < len(parameters):
			names, in = append(names, parameters[i]), append(in, wire.InPath)
		case object != "":
			names, in = append(names, object), append(in, object)
		default:
			names, in = append(names, fmt.Sprintf("arg%d", i)), append(in, "")
		}
	}
	return names, in
}
