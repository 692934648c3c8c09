package workers

import (
	"context"
	"sync"
	"time"
)

// handling is the context of one run of a handler: its parent's, with a
// deadline and what is known of the request. Most handlers that are short
// never look at the deadline, so that the timer, and all else that a context
// with one costs, is only made when somebody asks.
type handling struct {
	context.Context //nolint:containedctx // it is one: this is the parent
	state           state
	deadline        time.Time // of this process's clock

	mu     sync.Mutex
	timed  context.Context //nolint:containedctx // the real one, once somebody has asked
	cancel context.CancelFunc
	ended  bool
}

// made gives the real context.
func (h *handling) made() context.Context {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.timed == nil {
		h.timed, h.cancel = context.WithDeadline(h.Context, h.deadline)
		if h.ended { // somebody has kept it
			h.cancel()
		}
	}
	return h.timed
}

// end frees what was made.
func (h *handling) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended = true
	if h.cancel != nil {
		h.cancel()
	}
}

// Deadline is when the request's time is up.
func (h *handling) Deadline() (time.Time, bool) {
	if parents, ok := h.Context.Deadline(); ok && parents.Before(h.deadline) {
		return parents, true
	}
	return h.deadline, true
}

// Done is closed when the time is up, the worker stops, or has lost the request.
func (h *handling) Done() <-chan struct{} { return h.made().Done() }

// Err says why it is done.
func (h *handling) Err() error { return h.made().Err() }

// Value finds what is known of the request, and what the parent knows. Contexts
// that are derived from this one ask it for the real one beneath.
func (h *handling) Value(key any) any {
	if key == (contextKey{}) {
		return &h.state
	}
	return h.made().Value(key)
}
