package workers

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/oskadev/mailroom/bus/consumer"
	"github.com/oskadev/mailroom/bus/wire"
)

// Info describes a request to its handler.
type Info struct {
	// RequestID is the request's ID on the bus: the same on every delivery.
	RequestID string
	// Attempt counts the deliveries, from 1.
	Attempt int
	// Service and Action are those that were called.
	Service string
	Action  string
	// CallerRequestID is the X-Request-Id of the HTTP request; empty: the caller sent
	// none.
	CallerRequestID string
	// TraceParent is the W3C trace context (https://www.w3.org/TR/trace-context/): that of
	// the run's span, or of the request where the process makes no spans.
	TraceParent string
	// Version is the version of the API that was called, such as v2; empty: none.
	Version string
	// Depth counts the calls of services that led to this one; 0: a client called it.
	Depth int
	// Principal is the caller; nil: it is anonymous.
	Principal *Principal
}

type contextKey struct{}

// state is what the context of a handler holds.
type state struct {
	info     Info
	delivery *consumer.Delivery // its meta is parsed on demand; nil: info has it

	mu       sync.Mutex
	status   int
	location string
	tags     []string          // to invalidate
	progress []json.RawMessage // only in tests of handlers
	calls    *calls
	called   map[string]int // number of equal calls
}

// NewContext returns a context like that of a handler, for tests of handlers.
func NewContext(ctx context.Context, info Info) context.Context {
	return context.WithValue(ctx, contextKey{}, &state{info: info})
}

func stateOf(ctx context.Context) *state {
	s, _ := ctx.Value(contextKey{}).(*state)
	return s
}

// InfoFrom returns the description of the request. It is empty outside a handler.
func InfoFrom(ctx context.Context) Info {
	s := stateOf(ctx)
	if s == nil {
		return Info{}
	}
	info := s.info
	if s.delivery != nil {
		meta := s.delivery.Request.ParseMeta()
		info.CallerRequestID, info.TraceParent, info.Version = meta.RequestID, s.delivery.TraceParent(), meta.Version
		info.Depth, info.Principal = meta.Depth, meta.Principal
	}
	return info
}

// PrincipalFrom returns the caller of the API; nil: it is anonymous, or ctx is not a
// handler's. An answer that all callers share (Public) runs for any one of them.
func PrincipalFrom(ctx context.Context) *Principal { return InfoFrom(ctx).Principal }

// RequestID returns the request's ID on the bus. Every delivery of the request has the
// same ID: a handler that stores it with its effect can make the effect once. Outside a
// handler it is empty.
func RequestID(ctx context.Context) string {
	if s := stateOf(ctx); s != nil {
		return s.info.RequestID
	}
	return ""
}

// Attempt returns the number of this delivery of the request, from 1; 0 outside a handler.
func Attempt(ctx context.Context) int {
	if s := stateOf(ctx); s != nil {
		return s.info.Attempt
	}
	return 0
}

// Extend gives a handler the time d from now, also past its request's deadline. It returns
// a context with the values of ctx that ends after d, when the worker stops, or when the
// worker has lost the request. Call the function when the work is done.
//
// The caller does not wait longer than before: it gets 504 TIMEOUT. For an unsafe action
// its Location returns the outcome later. If the worker dies past the deadline, the
// request does not run again but becomes a dead letter. An action that always takes long
// declares Timeout instead.
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

// Progress reports how far a handler is, as any value that can be encoded as JSON, in at
// most 16 KiB. Callers that wait for events get it, and the state of an unsafe request has
// the last one. Reports that come faster than every 100 ms replace each other. It returns
// an error if the value cannot be encoded or is too large. Outside a handler it does
// nothing.
func Progress(ctx context.Context, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode the progress as JSON: %w", err)
	}
	s := stateOf(ctx)
	switch {
	case s == nil:
		return nil
	case s.delivery == nil: // in a test of a handler
		s.mu.Lock()
		s.progress = append(s.progress, text)
		s.mu.Unlock()
		return nil
	default:
		return s.delivery.Progress(ctx, text)
	}
}

// Recorded holds what a handler set for its answer.
type Recorded struct {
	// Status is the value of SetStatus; 0: none.
	Status int
	// Location is the value of SetLocation.
	Location string
	// Tags are the tags of Invalidate.
	Tags []string
	// Progress are the values of Progress, as JSON.
	Progress []json.RawMessage
}

// RecordedIn returns what a handler that ran with this context set for its answer, for
// tests of handlers.
func RecordedIn(ctx context.Context) Recorded {
	s := stateOf(ctx)
	if s == nil {
		return Recorded{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return Recorded{Status: s.status, Location: s.location, Tags: s.tags, Progress: s.progress}
}

// SetStatus sets the HTTP status of a successful answer: 200 to 299, except 204 and 205,
// which have no body. Defaults to 200; other values are ignored.
func SetStatus(ctx context.Context, status int) {
	bodiless := status == http.StatusNoContent || status == http.StatusResetContent
	if s := stateOf(ctx); s != nil && status >= http.StatusOK && status < http.StatusMultipleChoices && !bodiless {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.status = status
	}
}

// SetLocation sets the header Location of the answer: the URL of a created resource. The
// gateway percent-encodes what a URL cannot have.
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
