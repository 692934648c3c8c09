package workers

import (
	"fmt"
	"time"

	"github.com/oskadev/mailroom/bus/wire"
)

// ActionOption configures one action.
type ActionOption func(*action)

// Route adds HTTP routes to the action, each as "METHOD /path/:parameter". The path
// begins with the name of the service. The parameters become the first arguments.
// Defaults to none: only other services and clients of the bus can call the action.
func Route(patterns ...string) ActionOption {
	return func(a *action) { a.declared.Routes = append(a.declared.Routes, patterns...) }
}

// Timeout limits the time from the call of the action to its answer. It is the deadline of
// the handler's context, too. Defaults to 10 s.
func Timeout(d time.Duration) ActionOption {
	return func(a *action) { a.timeout = d }
}

// Concurrency limits the number of requests of this action that one worker runs at the
// same time, within the limit of the service. Defaults to the limit of the service.
func Concurrency(n int) ActionOption {
	return func(a *action) { a.concurrency = n }
}

// Safe declares that the action may run twice without harm: its outcome is not stored. It
// is the default for an action that has routes if all of them are GET.
func Safe() ActionOption {
	safe := true
	return func(a *action) { a.safe = &safe }
}

// Unsafe declares that the action has effects: its outcome is stored, and an action with
// a stored outcome does not run again. It is the default for every action that is not
// safe by default; see [Safe].
func Unsafe() ActionOption {
	safe := false
	return func(a *action) { a.safe = &safe }
}

// Scope declares scopes, such as "users:write". A caller of the gateway needs all of them.
// A gateway without authentication (--auth none) does not check scopes, and neither does
// the bus. Defaults to none.
func Scope(scopes ...string) ActionOption {
	return func(a *action) {
		for _, scope := range scopes {
			if err := wire.CheckScope(scope); err != nil {
				a.faults = append(a.faults, fmt.Errorf("action %s: %w", a.declared.Name, err))
			}
		}
		a.declared.Scopes = append(a.declared.Scopes, scopes...)
	}
}

// Lane sets an ordering key, such as "item:{0}", where {0} is the first argument. The
// requests with one key run one at a time, in the order in which they were accepted,
// across all workers and gateways. Requests with other keys run meanwhile. All actions of
// a service with the same key share its lane. The time that a request waits in its lane
// counts against its deadline. Defaults to none: requests do not wait for each other.
func Lane(key string) ActionOption {
	return func(a *action) { a.declared.Lane = key }
}

// Summary describes the action in one line, for the documentation of the API. Defaults to
// none.
func Summary(text string) ActionOption {
	return func(a *action) { a.declared.Summary = text }
}

// Example adds example arguments, in the order of the handler, to the schemas of the action:
// the documentation of the API shows them. [Run] reports an example that does not fit its
// type. Defaults to none; the struct tag example gives one for a single field.
func Example(args ...any) ActionOption {
	return func(a *action) { a.examples = append(a.examples, args) }
}

// ExampleResult adds an example of the result, as [Example] does for arguments. Defaults to
// none.
func ExampleResult(result any) ActionOption {
	return func(a *action) { a.results = append(a.results, result) }
}

// Deprecated marks an action that callers should no longer use. Defaults to false.
func Deprecated() ActionOption {
	return func(a *action) { a.declared.Deprecated = true }
}
