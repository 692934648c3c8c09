package client

import "time"

// Option configures the calls of a client; see Client.With.
type Option func(*options)

type options struct {
	key         string
	timeout     time.Duration // 0: as the action declares
	requestID   string
	traceParent string
}

// Key makes an unsafe action run once: a call of the same action with the same key
// returns the stored outcome, for 24 h. A call with the same key and other arguments
// fails with IDEMPOTENCY_KEY_REUSED. All clients of the namespace share their keys: if
// you act for several callers, include the caller in the key.
func Key(key string) Option { return func(o *options) { o.key = key } }

// Timeout limits the time that a call waits for its answer, and the time until a worker
// begins the request. Defaults to the timeout of the action.
func Timeout(d time.Duration) Option { return func(o *options) { o.timeout = d } }

// RequestID sets the X-Request-Id of the call, which handlers find in workers.Info.
// Defaults to none.
func RequestID(id string) Option { return func(o *options) { o.requestID = id } }

// TraceParent sets the W3C trace context of the call
// (https://www.w3.org/TR/trace-context/). Defaults to that of the OpenTelemetry span in the
// context of a call.
func TraceParent(header string) Option { return func(o *options) { o.traceParent = header } }

// With returns a client with these options for all of its calls. It shares the
// connections of c: closing c closes both.
func (c *Client) With(opts ...Option) *Client {
	own := *c
	for _, opt := range opts {
		opt(&own.options)
	}
	return &own
}
