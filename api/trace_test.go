package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/oskadev/mailroom/api"
	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/examples/shop"
	"github.com/oskadev/mailroom/internal/tracing"
	"github.com/oskadev/mailroom/testsupport"
	"github.com/oskadev/mailroom/workers"
)

// Trace contexts of clients: sampled and not.
const (
	clientTrace    = "0af7651916cd43dd8448eb211c80319c"
	clientSpan     = "b7ad6b7169203331"
	sampledTrace   = "traceparent: 00-" + clientTrace + "-" + clientSpan + "-01"
	unsampledTrace = "traceparent: 00-" + clientTrace + "-" + clientSpan + "-00"
)

// recorder is a stage whose gateway and workers make spans.
type recorder struct {
	*stage
	exporter *tracetest.InMemoryExporter
}

// record starts a gateway that makes spans, by this sampler.
func record(t *testing.T, sampler sdk.Sampler, change ...func(*api.Config)) *recorder {
	t.Helper()
	exporter := tracetest.NewInMemoryExporter()
	provider := sdk.NewTracerProvider(sdk.WithSyncer(exporter), sdk.WithSampler(sampler))
	s := newGatewayIn(tracing.With(t.Context(), provider), t, testsupport.Miniredis(t), "", change...)
	s.awaitReady()
	return &recorder{stage: s, exporter: exporter}
}

// onlyAsked samples the traces that a client asks for.
func onlyAsked() sdk.Sampler { return sdk.ParentBased(sdk.NeverSample()) }

// await waits for so many spans, and returns them by name. The last ones end after the
// answer.
func (r *recorder) await(n int) map[string][]tracetest.SpanStub {
	r.t.Helper()
	testsupport.Eventually(r.t, patience, "the spans have ended", func() bool { return len(r.exporter.GetSpans()) >= n })
	all := make(map[string][]tracetest.SpanStub)
	for _, span := range r.exporter.GetSpans() {
		all[span.Name] = append(all[span.Name], span)
	}
	return all
}

// one returns the only span of a name.
func one(t *testing.T, all map[string][]tracetest.SpanStub, name string) tracetest.SpanStub {
	t.Helper()
	require.Len(t, all[name], 1, "%s among %v", name, slices.Collect(maps.Keys(all)))
	return all[name][0]
}

// value returns an attribute of a span.
func value(span *tracetest.SpanStub, name string) attribute.Value {
	for _, a := range span.Attributes {
		if string(a.Key) == name {
			return a.Value
		}
	}
	return attribute.Value{}
}

func requireChild(t *testing.T, parent, child *tracetest.SpanStub) {
	t.Helper()
	require.Equal(t, parent.SpanContext.SpanID(), child.Parent.SpanID(), "%s is not a child of %s", child.Name, parent.Name)
	require.Equal(t, parent.SpanContext.TraceID(), child.SpanContext.TraceID())
}

// A payment is one connected trace: request, mailbox, run of the composition, its steps and
// their runs.
func TestTraceOfAPayment(t *testing.T) {
	t.Parallel()
	r := record(t, onlyAsked(), func(c *api.Config) { c.Versions = shop.Versions })
	r.sell()
	require.Empty(t, r.exporter.GetSpans(), "nobody asked for a trace")
	a := r.do(http.MethodPost, "/v3/payments", `{"user_id":1,"item_id":1,"gateway":"A","amount":4711,"voucher":"WELCOME10"}`, sampledTrace)
	require.Equal(t, http.StatusCreated, a.status, a.body)

	const steps = 5
	// The request, its reply, and of the composition and each step mailbox, run and settling; the calls of the steps.
	all := r.await(2 + 3*(steps+1) + steps)
	server := one(t, all, "POST /v3/payments")
	assert.Equal(t, clientSpan, server.Parent.SpanID().String())
	assert.Equal(t, trace.SpanKindServer, server.SpanKind)
	assert.Equal(t, int64(http.StatusCreated), value(&server, "http.response.status_code").AsInt64())
	assert.Equal(t, "/v3/payments", value(&server, "http.route").AsString())
	assert.Equal(t, a.header.Get("X-Request-Id"), value(&server, tracing.RequestID).AsString())
	queue, reply := one(t, all, "queue compositions"), one(t, all, "reply compositions")
	requireChild(t, &server, &queue)
	requireChild(t, &server, &reply)
	var run tracetest.SpanStub
	for name := range all {
		if strings.HasPrefix(name, "run compositions ") {
			run = one(t, all, name)
		}
	}
	requireChild(t, &server, &run)
	assert.Equal(t, trace.SpanKindConsumer, run.SpanKind)
	for _, step := range []string{"users CHECK_PURCHASABLE", "items CHECK_AVAILABLE", "vouchers CHECK_UNUSED", "payments PAY", "vouchers REDEEM_VOUCHER"} {
		call, ran := one(t, all, "call "+step), one(t, all, "run "+step)
		requireChild(t, &run, &call)
		requireChild(t, &call, &ran)
		assert.NotEmpty(t, value(&call, tracing.Step).AsString())
	}
	for _, spans := range all {
		for _, span := range spans {
			assert.Equal(t, clientTrace, span.SpanContext.TraceID().String())
			assert.NotContains(t, marshal(t, span.Attributes), "4711", "spans hold no arguments")
			assert.NotContains(t, marshal(t, span.Attributes), "WELCOME10", "spans hold no arguments")
			assert.False(t, span.EndTime.Before(span.StartTime), span.Name)
		}
	}
}

func marshal(t *testing.T, attributes []attribute.KeyValue) string {
	t.Helper()
	text, err := json.Marshal(attributes)
	require.NoError(t, err)
	return string(text)
}

// Each delivery is a span of its own; a later one is linked to its request.
func TestTraceOfARedelivery(t *testing.T) {
	t.Parallel()
	r := record(t, onlyAsked())
	var runs atomic.Int64
	retried := workers.NewService("retried")
	workers.Handle0(retried, "TRY", func(context.Context) (string, error) {
		if runs.Add(1) == 1 {
			return "", workers.NoOutcome(errors.New("its store did not answer"))
		}
		return "done", nil
	}, workers.Route("POST /retried"))
	r.work(retried)
	testsupport.Eventually(t, patience, "the route is served", func() bool { return r.server.Serves("retried") })
	require.Equal(t, http.StatusOK, r.do(http.MethodPost, "/retried", "", sampledTrace).status)

	all := r.await(7)
	server := one(t, all, "POST /retried")
	require.Len(t, all["run retried TRY"], 2)
	require.Len(t, all["queue retried"], 2)
	for i, run := range all["run retried TRY"] {
		requireChild(t, &server, &run)
		assert.Equal(t, int64(i+1), value(&run, tracing.Attempt).AsInt64())
		require.Len(t, run.Links, i)
		for _, link := range run.Links {
			assert.Equal(t, server.SpanContext.SpanID(), link.SpanContext.SpanID())
		}
	}
	assert.Equal(t, codes.Error, all["run retried TRY"][0].Status.Code, "no outcome")
	settle := one(t, all, "settle retried")
	requireChild(t, &all["run retried TRY"][1], &settle)
}

// A trace that the client does not sample is not sampled here, and its workers are told.
func TestTheClientsSamplingDecisionCounts(t *testing.T) {
	t.Parallel()
	r := record(t, sdk.ParentBased(sdk.AlwaysSample()))
	seen := make(chan string, 1)
	traced := workers.NewService("traced")
	workers.Handle0(traced, "SEE", func(ctx context.Context) (string, error) {
		seen <- workers.InfoFrom(ctx).TraceParent
		return "", nil
	}, workers.Route("GET /traced"))
	r.work(traced)
	testsupport.Eventually(t, patience, "the route is served", func() bool { return r.server.Serves("traced") })
	r.do(http.MethodGet, "/traced", "", unsampledTrace)
	got := <-seen
	assert.True(t, strings.HasPrefix(got, "00-"+clientTrace+"-") && strings.HasSuffix(got, "-00"), got)
	r.do(http.MethodGet, "/traced", "")
	<-seen
	for _, spans := range r.await(5) {
		for _, span := range spans {
			assert.NotEqual(t, clientTrace, span.SpanContext.TraceID().String(), span.Name)
		}
	}
}

// A cached answer says in its span where it came from.
func TestTraceOfACachedAnswer(t *testing.T) {
	t.Parallel()
	r := record(t, onlyAsked(), func(c *api.Config) { c.Versions = shop.Versions })
	r.sell()
	r.do(http.MethodGet, "/users/1", "")
	r.do(http.MethodGet, "/v2/users/1", "", sampledTrace)
	server := one(t, r.await(1), "GET /v2/users/:id")
	assert.NotEmpty(t, value(&server, tracing.Cache).AsString())
	assert.Equal(t, "users", value(&server, tracing.Service).AsString())
}

// A call of a socket begins a trace.
func TestTraceOfASocket(t *testing.T) {
	t.Parallel()
	r := record(t, sdk.AlwaysSample())
	r.work(r.things())
	r.awaitRoute("/things/count")
	p := r.socket()
	r.exporter.Reset()
	p.ask(`{"id":1,"service":"things","request":"GET_THING","args":[7]}`)
	all := r.await(5)
	server := one(t, all, "things GET_THING")
	run := one(t, all, "run things GET_THING")
	requireChild(t, &server, &run)
	assert.Equal(t, int64(http.StatusOK), value(&server, tracing.Status).AsInt64())
}

// Names from outside reach no span, or as harmless text.
func TestHostileNamesInSpans(t *testing.T) {
	t.Parallel()
	r := record(t, sdk.AlwaysSample())
	r.work(r.things())
	r.awaitRoute("/things/count")
	r.exporter.Reset()
	r.do("BREW", "/things/secret", "")
	r.do(http.MethodGet, "/nowhere/%ff", "")
	r.do(http.MethodGet, "/things/7", "", "traceparent: 00-00000000000000000000000000000000-0000000000000000-01")
	client := caller.New(r.conn, caller.Config{})
	defer client.Close()
	require.NoError(t, client.WaitReady(r.ctx))
	hostile := "\xff\n<b>\x1b[31m" + strings.Repeat("a", 4096)
	_, err := client.Do(r.ctx, &caller.Call{
		Service: "things", Action: hostile, Meta: (&wire.Meta{TraceParent: "00-" + clientTrace + "-" + clientSpan + "-01", RequestID: hostile}).Encode(),
	})
	require.NoError(t, err)
	all := r.await(9)
	one(t, all, "GET")
	run := one(t, all, "run things")
	assert.Equal(t, clientTrace, run.SpanContext.TraceID().String())
	for name, spans := range all {
		assert.Equal(t, tracing.Clean(name), name)
		for _, span := range spans {
			for _, a := range span.Attributes {
				if text := a.Value.String(); a.Value.Type() == attribute.STRING {
					assert.Equal(t, tracing.Clean(text), text, a.Key)
					assert.NotContains(t, text, "secret")
				}
			}
		}
	}
}

// Without a provider no spans are made, and the trace context of the client goes on as it
// is.
func TestWithoutTracesTheContextGoesOn(t *testing.T) {
	t.Parallel()
	s := startGateway(t, testsupport.Miniredis(t), "")
	traced := workers.NewService("traced")
	workers.Handle0(traced, "SEE", func(ctx context.Context) (string, error) {
		assert.False(t, trace.SpanContextFromContext(ctx).IsValid())
		return workers.InfoFrom(ctx).TraceParent, nil
	}, workers.Route("GET /traced"))
	s.work(traced)
	testsupport.Eventually(t, patience, "the route is served", func() bool { return s.server.Serves("traced") })
	s.got(`"00-`+clientTrace+`-`+clientSpan+`-01"`, http.MethodGet, "/traced", "", sampledTrace)
}
