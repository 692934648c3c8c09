package workers

import (
	"context"

	"github.com/oskadev/mailroom/internal/lazyctx"
)

// handling is the context of one run of a handler: that of the delivery, with the
// request's deadline and state.
type handling struct {
	lazyctx.Context

	state state
}

// handlingKey is the key of the handling itself.
type handlingKey struct{}

// Value returns the handling, its state, or what the delivery's context holds.
func (h *handling) Value(key any) any {
	switch key {
	case contextKey{}:
		return &h.state
	case handlingKey{}:
		return h
	default:
		return h.Context.Value(key)
	}
}

// handlingOf returns nil outside a handler that a worker runs.
func handlingOf(ctx context.Context) *handling {
	h, _ := ctx.Value(handlingKey{}).(*handling)
	return h
}
