package workers_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/busctx"
	"github.com/oskadev/mailroom/internal/tracing"
	"github.com/oskadev/mailroom/testsupport"
	"github.com/oskadev/mailroom/workers"
)

const clientTrace = "0af7651916cd43dd8448eb211c80319c"

// A handler finds the span of its run in its context; its own spans, its calls and what it
// tells other processes continue it.
func TestHandlersSeeTheirSpan(t *testing.T) {
	t.Parallel()
	exporter := tracetest.NewInMemoryExporter()
	provider := sdk.NewTracerProvider(sdk.WithSyncer(exporter))
	conn, err := bus.Connect(testsupport.Miniredis(t), bus.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	told := make(chan string, 2)
	outer, inner := workers.NewService("outer"), workers.NewService("inner")
	workers.Handle0(outer, "CALL", func(ctx context.Context) (string, error) {
		told <- workers.InfoFrom(ctx).TraceParent
		ctx, own := provider.Tracer("user").Start(ctx, "own work")
		defer own.End()
		return workers.CallFor[string](ctx, "inner", "ANSWER")
	})
	workers.Handle0(inner, "ANSWER", func(ctx context.Context) (string, error) {
		trace.SpanFromContext(ctx).AddEvent("seen")
		return "yes", nil
	})
	ctx, stop := context.WithCancel(tracing.With(busctx.With(t.Context(), conn), provider))
	ended, ready := make(chan error, 1), make(chan struct{})
	go func() { ended <- workers.Run(ctx, workers.Config{OnReady: func() { close(ready) }}, outer, inner) }()
	<-ready
	client := caller.New(conn, caller.Config{})
	t.Cleanup(client.Close)
	require.NoError(t, client.WaitReady(t.Context()))
	_, err = client.Do(t.Context(), &caller.Call{
		Service: "outer", Action: "CALL", Meta: (&wire.Meta{TraceParent: "00-" + clientTrace + "-b7ad6b7169203331-01"}).Encode(),
	})
	require.NoError(t, err)
	stop()
	require.NoError(t, <-ended)

	spans := make(map[string]tracetest.SpanStub)
	for _, span := range exporter.GetSpans() {
		spans[span.Name] = span
		assert.Equal(t, clientTrace, span.SpanContext.TraceID().String(), span.Name)
	}
	parents := []string{"run outer CALL", "own work", "call inner ANSWER", "run inner ANSWER", "settle inner"}
	for i, name := range parents[1:] {
		require.Contains(t, spans, name)
		assert.Equal(t, spans[parents[i]].SpanContext.SpanID(), spans[name].Parent.SpanID(), "the parent of %s", name)
	}
	assert.Contains(t, spans, "queue outer")
	require.Len(t, spans["run inner ANSWER"].Events, 1)
	assert.Equal(t, tracing.TraceParent(spans["run outer CALL"].SpanContext), <-told)
}

// A log line about a request has its three IDs.
func TestLinesOfARequestHaveItsIDs(t *testing.T) {
	t.Parallel()
	s := workers.NewService("users")
	workers.Handle0(s, "FAIL", func(context.Context) (string, error) { return "", errors.New("disk full") })
	workers.Handle0(s, "PANIC", func(context.Context) (string, error) { panic("no") }) //nolint:forbidigo // it is the subject
	r := serve(t, s)
	for action, text := range map[string]string{"FAIL": "a request failed", "PANIC": "handler panicked"} {
		_, err := r.client.Do(t.Context(), &caller.Call{
			Service: "users", Action: action, Meta: (&wire.Meta{RequestID: "mine", TraceParent: "00-" + clientTrace + "-b7ad6b7169203331-00"}).Encode(),
		})
		require.NoError(t, err)
		r.logs.Wait(t, text)
		found := false
		for line := range strings.Lines(r.logs.String()) {
			found = found || strings.Contains(line, text) && strings.Contains(line, "request_id=mine correlation_id=") && strings.Contains(line, "trace_id="+clientTrace)
		}
		assert.True(t, found, r.logs.String())
	}
}
