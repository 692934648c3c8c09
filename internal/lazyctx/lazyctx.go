// Package lazyctx provides a context that allocates its cancellation on first use.
//
// A context that can be cancelled costs several allocations, and one with a deadline a
// timer too. Most short handlers never ask their context whether it is done: for them
// nothing is allocated. Apart from that a Context behaves as the contexts of package
// context do; contexts that are derived from it attach to the real one beneath.
package lazyctx

import (
	"context"
	"sync"
	"time"
)

// Context has the values and the end of its parent, an optional deadline, and a Cancel
// method. Make one with New or WithDeadline, put it in a struct that lives as long, and
// cancel it when its work is over. It must not be copied once it is in use.
type Context struct {
	parent   context.Context //nolint:containedctx // a context has a parent
	deadline time.Time       // zero: that of the parent

	mu    sync.Mutex
	real  context.Context         //nolint:containedctx // nil until first use
	end   context.CancelCauseFunc // of one without a deadline
	stop  context.CancelFunc      // of one with a deadline
	ended bool
	cause error
}

// New returns a context that ends with its parent, or when it is cancelled.
func New(parent context.Context) Context { return Context{parent: parent} }

// WithDeadline returns a context that ends with its parent, at the deadline, or when it
// is cancelled.
func WithDeadline(parent context.Context, deadline time.Time) Context {
	return Context{parent: parent, deadline: deadline}
}

// Parent returns the context that this one was made of.
func (c *Context) Parent() context.Context { return c.parent }

// Cancel ends the context. The first call counts. Its cause, nil for none, is what
// context.Cause returns; as in package context, a context with a deadline keeps no cause,
// which would cost it a second context.
func (c *Context) Cancel(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return
	}
	c.ended, c.cause = true, cause
	if c.real != nil {
		c.finish()
	}
}

// finish ends the real context. Its caller holds the lock.
func (c *Context) finish() {
	if c.stop != nil {
		c.stop()
	} else {
		c.end(c.cause)
	}
}

// materialize returns the real context, and makes it on the first call.
func (c *Context) materialize() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.real != nil {
		return c.real
	}
	if c.deadline.IsZero() {
		c.real, c.end = context.WithCancelCause(c.parent)
	} else {
		c.real, c.stop = context.WithDeadline(c.parent, c.deadline)
	}
	if c.ended {
		c.finish()
	}
	return c.real
}

// Deadline returns the earlier of its own deadline and its parent's.
func (c *Context) Deadline() (time.Time, bool) {
	parents, ok := c.parent.Deadline()
	if c.deadline.IsZero() || ok && parents.Before(c.deadline) {
		return parents, ok
	}
	return c.deadline, true
}

// Done returns a channel that is closed when the context ends.
func (c *Context) Done() <-chan struct{} { return c.materialize().Done() }

// Err returns nil until the context ends, then why it ended.
func (c *Context) Err() error { return c.materialize().Err() }

// Value returns what the parent holds for the key.
func (c *Context) Value(key any) any { return c.materialize().Value(key) }
