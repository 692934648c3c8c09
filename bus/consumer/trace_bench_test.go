package consumer

import (
	"context"
	"testing"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"

	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/tracing"
)

// BenchmarkTrace runs a request without work, with and without a span.
func BenchmarkTrace(b *testing.B) {
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0"
	on := tracing.New(sdk.NewTracerProvider())
	for _, mode := range []struct {
		name, traceparent string
		tracer            *tracing.Tracer
	}{{"off", parent + "1", nil}, {"not sampled", parent + "0", on}, {"sampled", parent + "1", on}} {
		b.Run(mode.name, func(b *testing.B) {
			cfg := &Config{
				Manifest: &wire.Manifest{Service: "users", Actions: []wire.Action{{Name: "GET_USER"}}}, Tracer: mode.tracer,
				Run: func(context.Context, *Delivery) Outcome {
					return Done(wire.ReplyMeta{}, []byte(`{"ok":true,"result":null}`), 0)
				},
			}
			w := &worker{cfg: cfg, service: "users", id: "users.x"}
			r := newRunner(w, nil, nil)
			d := &Delivery{Attempt: 1, Request: wire.Request{Action: "GET_USER", Meta: (&wire.Meta{TraceParent: mode.traceparent}).Encode()}}
			began := time.Now()
			b.ReportAllocs()
			for b.Loop() {
				r.call(b.Context(), d, began)
				d.settled(nil)
			}
		})
	}
}
