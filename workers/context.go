package workers

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/oskadev/mailroom/bus/consumer"
	"github.com/oskadev/mailroom/bus/wire"
)

// Info is what a handler can know of its request.
type Info struct {
	// RequestID is the request's ID on the bus: the same on every delivery.
	RequestID string
	// Attempt counts the deliveries, from 1.
	Attempt int
	// Service and Action say what was asked.
	Service string
	Action  string
	// Meta is what travels with the request.
	Meta wire.Meta
}

type contextKey struct{}

// state is what the context of a handler carries.
type state struct {
	info     Info
	delivery *consumer.Delivery // its meta is parsed on demand; nil: info has it

	mu       sync.Mutex
	status   int
	location string
	tags     []string // to invalidate
	calls    *calls
	called   map[string]int // equal calls
}

// NewContext returns a context as a handler gets it, for tests of handlers.
func NewContext(ctx context.Context, info Info) context.Context {
	return context.WithValue(ctx, contextKey{}, &state{info: info})
}

func stateOf(ctx context.Context) *state {
	s, _ := ctx.Value(contextKey{}).(*state)
	return s
}

// InfoFrom returns what is known of the request; all empty outside a handler.
func InfoFrom(ctx context.Context) Info {
	s := stateOf(ctx)
	if s == nil {
		return Info{}
	}
	info := s.info
	if s.delivery != nil {
		info.Meta = s.delivery.Request.ParseMeta()
	}
	return info
}

// PrincipalFrom returns who called the API, as the gateway made sure of it; nil
// where nobody had to say, and outside a handler. A method of nil says that it may
// nothing. An answer that everybody shares (Public) has the principal of whoever's
// call made it run.
func PrincipalFrom(ctx context.Context) *wire.Principal { return InfoFrom(ctx).Meta.Principal }

// RequestID is the request's ID on the bus. It is the same on every delivery of
// the request, so an effect that remembers it is made once. Outside a handler
// it is empty, and no key to remember anything by.
func RequestID(ctx context.Context) string {
	if s := stateOf(ctx); s != nil {
		return s.info.RequestID
	}
	return ""
}

// Attempt counts the deliveries of the request, from 1; 0 outside a handler.
func Attempt(ctx context.Context) int {
	if s := stateOf(ctx); s != nil {
		return s.info.Attempt
	}
	return 0
}

// Extend gives a handler so much time from now, also past its request's
// deadline: it goes on with the context that Extend returns, which has the
// values of ctx and ends with the new time, when the worker stops, or when it
// has lost the request. Call the function when it is done.
//
// Who waits for the answer waits no longer than before: it gets 504 TIMEOUT,
// and its Location tells the outcome of an unsafe action later. Should the
// worker die past the deadline, nobody begins the request again: it becomes a
// dead letter. An action that always takes long declares Timeout instead.
func Extend(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	h := handlingOf(ctx)
	if h == nil {
		return context.WithTimeout(ctx, d)
	}
	h.state.delivery.Extend(d)
	run := h.Parent() // has no deadline
	working, end := context.WithCancelCause(context.WithoutCancel(ctx))
	detach := context.AfterFunc(run, func() { end(context.Cause(run)) })
	longer, cancel := context.WithTimeout(working, d)
	return longer, func() {
		cancel()
		detach()
		end(nil)
	}
}

// Recorded is what a handler set for its answer.
type Recorded struct {
	// Status is what SetStatus set; 0: nothing.
	Status int
	// Location is what SetLocation set.
	Location string
	// Tags are what Invalidate was given.
	Tags []string
}

// RecordedIn tells what a handler that ran with this context set for its
// answer, for tests of handlers.
func RecordedIn(ctx context.Context) Recorded {
	s := stateOf(ctx)
	if s == nil {
		return Recorded{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return Recorded{Status: s.status, Location: s.location, Tags: s.tags}
}

// SetStatus sets the HTTP status of a successful answer, 200 to 299 but for
// 204 and 205, which have no body. Defaults to 200; any other value is ignored.
func SetStatus(ctx context.Context, status int) {
	bodiless := status == http.StatusNoContent || status == http.StatusResetContent
	if s := stateOf(ctx); s != nil && status >= http.StatusOK && status < http.StatusMultipleChoices && !bodiless {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.status = status
	}
}

// SetLocation sets the answer's header Location: where a created resource is.
func SetLocation(ctx context.Context, location string) {
	if s := stateOf(ctx); s != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.location = location
	}
}

func (s *state) replyMeta() wire.ReplyMeta {
	s.mu.Lock()
	defer s.mu.Unlock()
	return wire.ReplyMeta{Status: s.status, Location: s.location}
}
