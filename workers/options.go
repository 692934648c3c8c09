package workers

import (
	"fmt"
	"time"

	"github.com/oskadev/mailroom/bus/wire"
)

// ActionOption sets something of one action.
type ActionOption func(*action)

// Route makes the action reachable by REST, as "METHOD /path/:parameter". Give
// several to have several. The parameters become the first arguments.
func Route(patterns ...string) ActionOption {
	return func(a *action) { a.routes = append(a.routes, patterns...) }
}

// Timeout is how long an answer is waited for, and what a handler's context
// allows. Defaults to bus.DefaultTimeout.
func Timeout(d time.Duration) ActionOption {
	return func(a *action) { a.timeout = d }
}

// Concurrency bounds how many requests of this action one worker runs at once,
// within the service's own bound. Defaults to that.
func Concurrency(n int) ActionOption {
	return func(a *action) { a.concurrency = n }
}

// Safe declares that the action may run twice without harm. Defaults to true
// for an action all of whose routes are GET.
func Safe() ActionOption {
	safe := true
	return func(a *action) { a.safe = &safe }
}

// Unsafe declares that the action has effects: its outcome is kept, and once
// there is one it never runs again. Defaults to true unless Safe says otherwise.
func Unsafe() ActionOption {
	safe := false
	return func(a *action) { a.safe = &safe }
}

// Scope says what a caller of the gateway has to have, all of it, such as
// "users:write". A gateway that checks no credentials (--auth none) checks no scopes
// either, and who asks on the bus is not asked for any.
func Scope(scopes ...string) ActionOption {
	return func(a *action) {
		for _, scope := range scopes {
			if err := wire.CheckScope(scope); err != nil {
				a.faults = append(a.faults, fmt.Errorf("action %s: %w", a.name, err))
			}
		}
		a.scopes = append(a.scopes, scopes...)
	}
}

// Lane has the requests of one key run one at a time, in the order in which they
// were accepted, over all workers and gateways; those of other keys run meanwhile.
// In the key, {0} is the first argument: "item:{0}". The actions of a service that
// name the same key share its lane. Waiting for one's turn counts against the
// deadline. A safe action only waits for its turn when it says so too.
func Lane(key string) ActionOption {
	return func(a *action) { a.lane = key }
}

// Summary is one line for the API's documentation.
func Summary(text string) ActionOption {
	return func(a *action) { a.summary = text }
}

// Deprecated marks an action that callers should leave.
func Deprecated() ActionOption {
	return func(a *action) { a.deprecated = true }
}
