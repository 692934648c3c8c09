package socket

import (
	"context"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/oskadev/mailroom/api/exchange"
	"github.com/oskadev/mailroom/bus/wire"
)

// Authenticator authenticates peers.
type Authenticator interface {
	// Verify returns the principal of a credential. nil: the gateway ignores credentials.
	Verify(ctx context.Context, credential string) (*wire.Principal, *exchange.Failure)
	// Anonymous refuses a caller without a credential where one is required.
	Anonymous() *exchange.Failure
}

// Caller answers the calls of clients.
type Caller interface {
	// Call calls an action and waits for its answer, at most for its timeout.
	Call(call *Call) *Answer
	// Cancel cancels the request of a call. Its answer says whether that succeeded.
	Cancel(ctx context.Context, call *Call) Cancelled
}

// Cancelled is what Cancel did.
type Cancelled int

// What Cancel did.
const (
	// NotSent means that the request has not been sent yet: try again.
	NotSent Cancelled = iota
	// Abandoned means that the request has no effect: nobody needs to wait for its answer.
	Abandoned
	// Asked means that the answer of the call comes soon.
	Asked
)

// Events are what clients subscribe to.
type Events interface {
	// MaySubscribe refuses a subscription to a cache tag of a service.
	MaySubscribe(principal *wire.Principal, service, tag string) *exchange.Failure
	// Nonce returns the nonce of a cache tag, which changes with every invalidation.
	Nonce(ctx context.Context, service, tag string) (string, error)
	// Follow returns a function that passes on the states of a request and its reports of
	// progress, until it has ended or the context ends.
	Follow(ctx context.Context, principal *wire.Principal, ticket string, tell func(wire.RequestState), progress func(string)) (run func(), f *exchange.Failure)
}

// Call is the request of a client.
type Call struct {
	Principal *wire.Principal
	Address   netip.Addr // of the client
	Service   string
	Action    string
	Args      jsontext.Value // an array; empty: no arguments
	Key       string         // Idempotency-Key; empty: none
	Timeout   time.Duration  // 0: that of the action
	Version   string         // of the API; empty: none
	Async     bool           // answer as soon as the request is accepted
	Progress  func(string)   // gets reports of progress as JSON, and must not block; nil: ignored

	sent atomic.Pointer[Sent]
}

// Sent is a request that is sent for a call.
type Sent struct {
	Service, ID string
	Safe        bool // it has no record
}

// SetSent notes the request of the call.
func (c *Call) SetSent(s *Sent) { c.sent.Store(s) }

// Sent returns the request of the call; nil: it is not sent yet.
func (c *Call) Sent() *Sent { return c.sent.Load() }

// Answer is the answer to a call.
type Answer struct {
	Envelope   string
	Status     int // 0: as the envelope says
	Location   string
	Ticket     string
	RetryAfter time.Duration
}
