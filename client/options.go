package client

import "time"

// Option sets something of the calls of a client; see Client.With.
type Option func(*options)

type options struct {
	key         string
	timeout     time.Duration // 0: as the action declares
	requestID   string
	traceParent string
}

// Key makes an unsafe action run once: a call of the same action with the same key
// returns the stored outcome, for 24 h. Another call under the same key fails with
// IDEMPOTENCY_KEY_REUSED. The key belongs to the namespace: include in it what tells
// your callers apart.
func Key(key string) Option { return func(o *options) { o.key = key } }

// Timeout is how long a call waits for its answer, and how long its request may wait
// for a worker. Defaults to what the action declares.
func Timeout(d time.Duration) Option { return func(o *options) { o.timeout = d } }

// RequestID names the call in the logs of all services that it reaches.
func RequestID(id string) Option { return func(o *options) { o.requestID = id } }

// TraceParent passes on a W3C trace context (https://www.w3.org/TR/trace-context/).
func TraceParent(header string) Option { return func(o *options) { o.traceParent = header } }

// With returns a client with these options for all of its calls. It shares the
// connections of c, and is closed with it.
func (c *Client) With(opts ...Option) *Client {
	own := *c
	for _, opt := range opts {
		opt(&own.options)
	}
	return &own
}
