package cli

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/oskadev/mailroom/testsupport"
)

// otlpCollector keeps the spans that processes export to it.
type otlpCollector struct {
	*httptest.Server

	mu    sync.Mutex
	spans map[string]string // trace ID by service.name and name of the span
}

func newCollector(t *testing.T) *otlpCollector {
	t.Helper()
	c := &otlpCollector{spans: make(map[string]string)}
	c.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var data tracepb.TracesData
		if !assert.NoError(t, err) || !assert.NoError(t, proto.Unmarshal(body, &data)) {
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, resource := range data.GetResourceSpans() {
			service := ""
			for _, a := range resource.GetResource().GetAttributes() {
				if a.GetKey() == "service.name" {
					service = a.GetValue().GetStringValue()
				}
			}
			for _, scope := range resource.GetScopeSpans() {
				for _, span := range scope.GetSpans() {
					c.spans[service+" "+span.GetName()] = string(span.GetTraceId())
				}
			}
		}
	}))
	t.Cleanup(c.Close)
	return c
}

// traceOf returns the trace of a span; empty: it has not come.
func (c *otlpCollector) traceOf(name string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.spans[name]
}

// Gateway and worker export one trace to the collector that the environment names; the
// last spans when they stop.
func TestProcessesExportTraces(t *testing.T) {
	t.Parallel()
	c := newCollector(t)
	redis := testsupport.StartRedis(t)
	address := testsupport.FreeAddr(t)
	env := []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + c.URL, "OTEL_BSP_SCHEDULE_DELAY=60000"} // exported at the end
	gateway := startWith(t, env, "api", "--auth", "none", "--redis", redis.URL(), "--listen", address, "--ops-listen", "off")
	worker := startWith(t, append(env, "OTEL_SERVICE_NAME=mine"), "demo", "worker", "echo", "--redis", redis.URL())
	f := &fleet{redis: redis, client: newHTTPClient(t), gateways: []string{"http://" + address}}
	f.serves(t, 15*time.Second, "/echo/1")
	require.NoError(t, worker.stop())
	require.NoError(t, gateway.stop())
	trace := c.traceOf("mailroom-api GET /echo/:id")
	require.NotEmpty(t, trace, gateway.printed.String())
	assert.NotEmpty(t, c.traceOf("mine run echo GET_ECHO"), worker.printed.String())
}

// A collector that does not answer does not hold up the end of a process.
func TestDeadCollectorDoesNotHoldUpTheEnd(t *testing.T) {
	t.Parallel()
	silent, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0") // accepts, and never answers
	require.NoError(t, err)
	t.Cleanup(func() { _ = silent.Close() })
	address := testsupport.FreeAddr(t)
	dev := startWith(t, []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + silent.Addr().String()}, "--listen", address, "--drain", "2s")
	f := &fleet{client: newHTTPClient(t), gateways: []string{"http://" + address}}
	f.serves(t, 15*time.Second, "/echo/1")
	began := time.Now()
	require.NoError(t, dev.stop())
	assert.Less(t, time.Since(began), 4*time.Second)
}

// A bad value leaves a process without traces, and it serves.
func TestBadTraceVariable(t *testing.T) {
	t.Parallel()
	address := testsupport.FreeAddr(t)
	dev := startWith(t, []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"}, "--listen", address)
	f := &fleet{client: newHTTPClient(t), gateways: []string{"http://" + address}}
	f.serves(t, 15*time.Second, "/echo/1")
	assert.Contains(t, dev.printed.String(), "OTEL_EXPORTER_OTLP_PROTOCOL")
	require.NoError(t, dev.stop())
}
