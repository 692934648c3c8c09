package route

import (
	"github.com/oskadev/mailroom/api/exchange"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/versions"
)

// Route is one method at one path, and its action. It is read-only.
type Route struct {
	Service   string
	Pattern   string // as the service declares it
	Action    *wire.Action
	arguments *arguments
	variants  []*arguments   // of live builds that declare other arguments
	object    string         // wire.InBody or wire.InQuery: where the last argument comes from
	Caching   *Caching       // nil: answers are not shared
	Plan      *versions.Plan // the steps of a composition; nil: an action of a service
	counted   []string       // see Counted
	Partial   bool           // some live builds of the service do not declare it: it is not served
	Unknown   string         // a service of the plan whose scopes are unknown, since it was never seen
}

// Counted returns the patterns by whose rules a request of the route counts: its own and, of a
// composition, those of all actions that it may call. It is not to be changed.
func (r *Route) Counted() []string { return r.counted }

// CalledCounted returns the patterns by whose rules a call of the action by its name counts:
// those of Counted, and all routes of the action.
func (r *Route) CalledCounted() []string {
	if r.Plan != nil {
		return r.counted
	}
	return r.Action.Routes
}

// OutcomeAt returns the path where the outcome of a request can be read; empty: no outcome
// is kept.
func (r *Route) OutcomeAt(in *exchange.Request) string {
	if r.Action.Safe && r.Action.Lane == "" {
		return ""
	}
	return wire.Location(r.Service, in.ID.String())
}
