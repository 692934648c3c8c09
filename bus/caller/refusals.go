package caller

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/oskadev/mailroom/bus/wire"
)

// refusals remembers which principals were refused lately because they store too much. A
// large request of such a principal is sent only if its ID is known in Redis: to send the
// bytes of requests that are refused would delay the requests of others.
type refusals struct {
	mu    sync.Mutex
	until map[refusal]refusedUntil
}

// refusedUntil is how long a refusal is remembered, and the RetryAfter of its error.
type refusedUntil struct {
	end   time.Time
	retry time.Duration
}

// refusal is a principal at a service.
type refusal struct{ service, principal string }

const (
	// largeArgs is the length from which the arguments are not sent.
	largeArgs = 16 << 10
	// refusedFor is how long a refusal is remembered.
	refusedFor = time.Second
	// maxRefusals bounds the memory. Beyond it nothing more is remembered.
	maxRefusals = 10_000
)

func newRefusals() *refusals { return &refusals{until: make(map[refusal]refusedUntil)} }

// add remembers a refusal.
func (r *refusals) add(service, principal string, retry time.Duration, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.until) >= maxRefusals {
		for key, until := range r.until {
			if now.After(until.end) {
				delete(r.until, key)
			}
		}
	}
	if len(r.until) < maxRefusals {
		r.until[refusal{service, principal}] = refusedUntil{now.Add(refusedFor), retry}
	}
}

// of returns the RetryAfter of a principal that was refused lately, or 0.
func (r *refusals) of(service, principal string, now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if until, found := r.until[refusal{service, principal}]; found && now.Before(until.end) {
		return until.retry
	}
	return 0
}

// storesTooMuch returns a StorageLimitedError for a large request that Redis does not know,
// if its principal was refused lately.
func (c *Client) storesTooMuch(ctx context.Context, service string, r *wire.Request) error {
	if r.Safe() || len(r.Args) < largeArgs {
		return nil
	}
	retry := c.refusals.of(service, r.PrincipalKey, time.Now())
	if retry == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.conn.Timeout())
	defer cancel()
	if known, err := lookUp(ctx, c.conn, service, r); err != nil || known.state != "" {
		return nil // Redis decides, as without a refusal
	}
	return &StorageLimitedError{Service: service, RetryAfter: retry}
}

// remember remembers the refusal of a request that would store too much.
func (c *Client) remember(r *wire.Request, err error) {
	if refused, ok := errors.AsType[*StorageLimitedError](err); ok {
		c.refusals.add(refused.Service, r.PrincipalKey, refused.RetryAfter, time.Now())
	}
}
