package consumer

import (
	"context"
	"sync"
	"time"

	"github.com/oskadev/mailroom/bus/wire"
)

// run is one delivery under way, and the context of it: that of the worker, which ends
// with the run. Most that are short are never asked whether they are done, so that what a
// context costs that can end is only made when somebody asks.
type run struct {
	working context.Context //nolint:containedctx // it is one: this is the parent
	until   int64           // unix ms up to which it is kept; guarded by Consumer.mu

	mu    sync.Mutex
	made  context.Context //nolint:containedctx // the real one, once somebody has asked
	end   context.CancelCauseFunc
	ended bool
	cause error
}

// cancel ends the run.
func (r *run) cancel(cause error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.ended {
		r.ended, r.cause = true, cause
	}
	if r.made != nil {
		r.end(cause)
	}
}

// real gives the real context.
func (r *run) real() context.Context {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.made == nil {
		r.made, r.end = context.WithCancelCause(r.working)
		if r.ended { // somebody has kept it
			r.end(r.cause)
		}
	}
	return r.made
}

// Deadline is that of the worker, which has none.
func (r *run) Deadline() (time.Time, bool) { return r.working.Deadline() }

// Done is closed when the run has ended, the worker stops, or has lost the request.
func (r *run) Done() <-chan struct{} { return r.real().Done() }

// Err says why it is done.
func (r *run) Err() error { return r.real().Err() }

// Value is the worker's. Contexts that are derived from this one ask it for the real one
// beneath.
func (r *run) Value(key any) any { return r.real().Value(key) }

// start puts deliveries into slots. They are yet to be run.
func (c *Consumer) start(working context.Context, batch []*Delivery) {
	now := c.conn.Clock.Millis()
	c.slots.take(len(batch))
	runs := make([]run, len(batch))
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, d := range batch {
		d.Queued = max(0, time.Duration(now-d.acceptedAt())*time.Millisecond)
		d.by, d.run = c, &runs[i]
		d.run.working = working //nolint:fatcontext // one for each delivery, none within another
		d.run.until = c.keptUntil(&d.Request, now)
		delete(c.left, d.Entry)
		c.running[d.Entry] = d.run
	}
}

// keptUntil bounds how long a request is kept alive: one whose handler hangs past its
// time is left to others, who bury it.
func (c *Consumer) keptUntil(r *wire.Request, now int64) int64 {
	end := r.Deadline
	if end == 0 {
		end = now + c.timeout(r.Action).Milliseconds()
	}
	return end + c.grace()
}

// grace is how long past its time a request is kept.
func (c *Consumer) grace() int64 { return max(c.cfg.IdleLimit, c.cfg.DrainLimit).Milliseconds() }

// Extend keeps a request that is running for so long from now, where that is
// past its deadline: its outcome counts then too. It takes nothing from the
// time that the request has.
func (d *Delivery) Extend(by time.Duration) {
	c := d.by
	if c == nil {
		return
	}
	end := c.conn.Clock.Now().Add(by).UnixMilli() + c.grace()
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.running[d.Entry]; r != nil {
		r.until = max(r.until, end)
	}
}

// timeout is what the manifest gives an action.
func (c *Consumer) timeout(action string) time.Duration {
	if a := c.cfg.Manifest.Action(action); a != nil {
		return a.Timeout()
	}
	return wire.DefaultTimeout
}
