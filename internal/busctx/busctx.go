// Package busctx passes a connection to the bus through a context, to the public
// packages: their signatures name no type of the bus. It is for commands and tests
// of this module that have a connection already.
package busctx

import (
	"context"

	"github.com/oskadev/mailroom/bus"
)

type key struct{}

// With returns a context that carries a connection. Whoever takes it from there does
// not close it.
func With(ctx context.Context, conn *bus.Conn) context.Context {
	return context.WithValue(ctx, key{}, conn)
}

// From returns the connection that a context carries; nil: none.
func From(ctx context.Context) *bus.Conn {
	conn, _ := ctx.Value(key{}).(*bus.Conn)
	return conn
}
