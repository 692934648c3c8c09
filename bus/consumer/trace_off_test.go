package consumer

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/oskadev/mailroom/bus/wire"
)

func TestWithoutTracesNothingIsAllocated(t *testing.T) { //nolint:paralleltest // it counts allocations
	w := &worker{cfg: &Config{Manifest: &wire.Manifest{Service: "users"}, Run: func(context.Context, *Delivery) Outcome { return Retry() }}}
	r := newRunner(w, nil, nil)
	d := &Delivery{Attempt: 2, Request: wire.Request{Meta: `{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}`}}
	ctx, now := t.Context(), time.Now()
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		r.call(ctx, d, now)
		d.settled(nil)
	}))
}
