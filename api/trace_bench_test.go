package api

import (
	"testing"

	"github.com/gofiber/fiber/v2"
	sdk "go.opentelemetry.io/otel/sdk/trace"

	"github.com/oskadev/mailroom/api/exchange"
	"github.com/oskadev/mailroom/internal/tracing"
)

// BenchmarkTrace makes the span of a request and the meta that continues it.
func BenchmarkTrace(b *testing.B) {
	c := newBenchEdge(b).call(b, fiber.MethodGet, "/users/1", "")
	for _, mode := range []struct {
		name   string
		tracer *tracing.Tracer
	}{
		{"off", nil},
		{"not sampled", tracing.New(sdk.NewTracerProvider(sdk.WithSampler(sdk.ParentBased(sdk.TraceIDRatioBased(0)))))},
		{"sampled", tracing.New(sdk.NewTracerProvider())},
	} {
		b.Run(mode.name, func(b *testing.B) {
			s := &spans{tracer: mode.tracer, scheme: "http"}
			b.ReportAllocs()
			for b.Loop() {
				in := exchange.NewRequest(c)
				s.begin(&in)
				if meta := in.EncodeMeta("", 0); (meta == "") != (mode.tracer == nil) {
					b.Fatal(meta)
				}
				s.ended(&in)
			}
		})
	}
}
