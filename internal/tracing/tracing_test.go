package tracing_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/oskadev/mailroom/internal/tracing"
)

const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// Without an SDK there is no tracer. Looking for one exports nothing.
func TestNewFindsOutWhetherSpansAreMade(t *testing.T) {
	t.Parallel()
	assert.Nil(t, tracing.New(otel.GetTracerProvider()))
	assert.Nil(t, tracing.New(noop.NewTracerProvider()))
	assert.Nil(t, tracing.From(t.Context()))
	exporter := tracetest.NewInMemoryExporter()
	for _, sampler := range []sdk.Sampler{sdk.AlwaysSample(), sdk.NeverSample(), sdk.ParentBased(sdk.AlwaysSample())} {
		provider := sdk.NewTracerProvider(sdk.WithSyncer(exporter), sdk.WithSampler(sampler))
		assert.NotNil(t, tracing.New(provider))
		assert.NotNil(t, tracing.From(tracing.With(t.Context(), provider)))
	}
	assert.Empty(t, exporter.GetSpans())
}

func TestTraceParent(t *testing.T) {
	t.Parallel()
	parsed := tracing.Parse(traceparent)
	assert.True(t, parsed.IsValid() && parsed.IsSampled() && parsed.IsRemote())
	assert.Equal(t, traceparent, tracing.TraceParent(parsed))
	assert.Empty(t, tracing.TraceParent(trace.SpanContext{}))
	later := tracing.Parse("01" + traceparent[2:] + "-more")
	assert.True(t, later.IsValid(), "a later version has the same beginning")
	for _, bad := range []string{
		"", "00", traceparent[:54], strings.Repeat("-", 55), "00-" + strings.Repeat("0", 32) + traceparent[35:], strings.Replace(traceparent, "b7", "B7", 1),
		traceparent[:36] + strings.Repeat("0", 16) + "-01", strings.Replace(traceparent, "0a", "\xff\xff", 1),
	} {
		assert.False(t, tracing.Parse(bad).IsValid(), "%q", bad)
	}
}

func TestClean(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"GET_USER": "GET_USER", "größe": "größe", "a\nb\x1b[1m\x00": "a?b?[1m?", "\xff\xfe": "??", "\u202e": "?",
		strings.Repeat("a", 500): strings.Repeat("a", 128), strings.Repeat("a", 127) + "é": strings.Repeat("a", 127) + "?",
	} {
		assert.Equal(t, want, tracing.Clean(text))
	}
}

func TestCallWithoutATracer(t *testing.T) { //nolint:paralleltest // it counts allocations
	var off *tracing.Tracer
	allocations := testing.AllocsPerRun(100, func() {
		call := off.Call(t.Context(), "users", "GET_USER", "")
		if call.TraceParent(traceparent) != traceparent {
			t.Error("another traceparent")
		}
		call.End("", 200)
	})
	assert.Zero(t, allocations)
}

func TestCallIsASpan(t *testing.T) {
	t.Parallel()
	exporter := tracetest.NewInMemoryExporter()
	tracer := tracing.New(sdk.NewTracerProvider(sdk.WithSyncer(exporter)))
	assert.Nil(t, tracer.Call(t.Context(), "users", "GET_USER", ""), "a call begins no trace")
	ctx := trace.ContextWithRemoteSpanContext(t.Context(), tracing.Parse(traceparent))
	for _, status := range []int{0, 200, 404, 503} {
		call := tracer.Call(ctx, "users", "GET_USER", "")
		require.Len(t, call.TraceParent(""), 55)
		call.End("near", status)
	}
	var failed []string
	for _, span := range exporter.GetSpans() {
		assert.Equal(t, "call users GET_USER", span.Name)
		failed = append(failed, span.Status.Code.String())
	}
	assert.Equal(t, []string{"Error", "Unset", "Unset", "Error"}, failed)
}
