package otlp

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// collector starts an HTTP server that takes spans.
func collector(t *testing.T, answer http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	return server
}

// readSpans decodes the body of an export.
func readSpans(r *http.Request) ([]*tracepb.Span, error) {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		unpacked, err := gzip.NewReader(body)
		if err != nil {
			return nil, err
		}
		body = unpacked
	}
	text, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	var data tracepb.TracesData
	if err = proto.Unmarshal(text, &data); err != nil {
		return nil, err
	}
	var spans []*tracepb.Span
	for _, resource := range data.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			spans = append(spans, scope.GetSpans()...)
		}
	}
	return spans, nil
}

func newTestClient(t *testing.T, lines ...string) *client {
	t.Helper()
	s, err := readSettings(env(lines...))
	require.NoError(t, err)
	c := newClient(s)
	t.Cleanup(func() { _ = c.Stop(context.Background()) }) //nolint:usetesting // the test's context has ended then
	return c
}

// A collector gets the spans that the SDK makes, with the headers of the operator.
func TestSpansReachACollector(t *testing.T) {
	t.Parallel()
	for _, compression := range []string{"none", "gzip"} {
		names := make(chan string, 1)
		server := collector(t, func(_ http.ResponseWriter, r *http.Request) {
			spans, err := readSpans(r)
			if assert.NoError(t, err) && assert.Len(t, spans, 1) {
				names <- spans[0].GetName() + r.URL.Path + r.Header.Get("X-Token") + r.Header.Get("Content-Type")
			}
		})
		c := newTestClient(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+server.URL, "OTEL_EXPORTER_OTLP_HEADERS=x-token=mine", "OTEL_EXPORTER_OTLP_COMPRESSION="+compression)
		exporter, err := otlptrace.New(t.Context(), c)
		require.NoError(t, err)
		provider := trace.NewTracerProvider(trace.WithBatcher(exporter))
		_, span := provider.Tracer("test").Start(t.Context(), "one")
		span.End()
		require.NoError(t, provider.Shutdown(t.Context()))
		require.Len(t, names, 1, "nothing was exported")
		assert.Equal(t, "one/v1/traces"+"mine"+"application/x-protobuf", <-names)
	}
}

// An export is tried again where the collector asks for it, and only then.
func TestExportsAreTriedAgain(t *testing.T) {
	t.Parallel()
	for status, tries := range map[int]int64{503: 2, 429: 2, 502: 2, 400: 1, 401: 1, 307: 1} {
		var got atomic.Int64
		server := collector(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "http://"+r.Host+"/elsewhere")
			if got.Add(1) == 1 {
				w.WriteHeader(status)
			}
		})
		err := newTestClient(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+server.URL).UploadTraces(t.Context(), nil)
		assert.Equal(t, tries, got.Load(), status)
		assert.Equal(t, tries == 1, err != nil, status)
	}
}

// A dead collector ends an export after its timeout, or with the context.
func TestDeadCollector(t *testing.T) {
	t.Parallel()
	server := collector(t, func(http.ResponseWriter, *http.Request) {})
	server.Close()
	c := newTestClient(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+server.URL, "OTEL_EXPORTER_OTLP_TIMEOUT=300")
	began := time.Now()
	require.Error(t, c.UploadTraces(t.Context(), nil))
	assert.Less(t, time.Since(began), 5*time.Second)

	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("stopped"))
	require.Error(t, newTestClient(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+server.URL).UploadTraces(ctx, nil))
}
