package bench

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func serve(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server
}

func overHTTP(t *testing.T, r HTTPRequest) Target {
	t.Helper()
	target, err := NewHTTP(r)
	require.NoError(t, err)
	return target
}

func TestHTTP(t *testing.T) {
	t.Parallel()
	var requests, connections atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		body, _ := io.ReadAll(r.Body)
		assert.Equal(t, `{"x":1}`, string(body))
		assert.Equal(t, http.MethodPost, r.Method)
		assert.Equal(t, "/echo?q=1", r.RequestURI)
		assert.Equal(t, "application/json", r.Header.Get("Content-Type"))
		assert.Equal(t, "a: b", r.Header.Get("X-Test"))
		assert.NotEmpty(t, r.Host)
		_, _ = io.WriteString(w, "hello")
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	target := overHTTP(t, HTTPRequest{URL: server.URL + "/echo?q=1", Body: `{"x":1}`, Headers: []string{"X-Test: a: b"}})
	r := Load{Connections: 3, Duration: 100 * time.Millisecond}.Run(t.Context(), target)
	assert.Equal(t, requests.Load(), r.Answered())
	assert.Positive(t, r.Rate)
	assert.Positive(t, r.Latency.P50)
	assert.Equal(t, 5*r.Answered(), r.Bytes)
	assert.Equal(t, int64(3), connections.Load(), "they are kept open")
	assert.Equal(t, "POST "+server.URL+"/echo?q=1", r.Target)
}

func TestHTTPFailures(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch n.Add(1) % 4 {
		case 0:
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, "{\"ok\":\n false}")
		case 1:
			conn, _, err := http.NewResponseController(w).Hijack()
			if assert.NoError(t, err) {
				_ = conn.Close()
			}
		case 2:
			w.Header().Set("Connection", "close")
		case 3:
			<-r.Context().Done() // until the client gives up
		}
	})
	target := overHTTP(t, HTTPRequest{URL: server.URL, Timeout: 500 * time.Millisecond})
	c := target.Connect()
	defer c.Close()
	kinds := make(map[string]string)
	for range 4 {
		a := c.Do(t.Context())
		kinds[a.Failure] = a.Detail
	}
	assert.Contains(t, kinds, "connection lost")
	assert.Equal(t, "no answer within 500ms", kinds["timeout"])
	assert.Equal(t, `{"ok": false}`, kinds["status 503"])
	assert.Contains(t, kinds, "", "a closed connection is made anew")
	assert.Len(t, kinds, 4)
}

func TestHead(t *testing.T) {
	t.Parallel()
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "7") })
	c := overHTTP(t, HTTPRequest{URL: server.URL, Method: http.MethodHead}).Connect()
	defer c.Close()
	for range 2 {
		assert.Equal(t, Answer{}, c.Do(t.Context()))
	}
}

func TestNotConnected(t *testing.T) {
	t.Parallel()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, ln.Close())
	c := overHTTP(t, HTTPRequest{URL: "http://" + ln.Addr().String()}).Connect()
	defer c.Close()
	a := c.Do(t.Context())
	assert.Equal(t, "not connected", a.Failure)
	assert.True(t, a.Unreached)
	assert.Contains(t, a.Detail, "refused")
}

func TestInterruptEndsAReadThatWaits(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	over := make(chan struct{})
	defer close(over)
	server := serve(t, func(http.ResponseWriter, *http.Request) {
		interrupt()
		<-over
	})
	t.Cleanup(server.CloseClientConnections)
	r := Load{Connections: 2, Duration: time.Hour}.Run(ctx, overHTTP(t, HTTPRequest{URL: server.URL, Timeout: time.Hour}))
	assert.True(t, r.Interrupted)
	assert.Zero(t, r.Failed)
	assert.Positive(t, r.Unanswered)
}

// The same as TestOpenLoopShowsAStall, with a real clock and real sockets.
func TestOpenLoopShowsAStallOverHTTP(t *testing.T) {
	t.Parallel()
	const stall = 300 * time.Millisecond
	var n atomic.Int64
	stalled := make(chan struct{})
	server := serve(t, func(http.ResponseWriter, *http.Request) {
		switch k := n.Add(1); {
		case k == 100:
			time.AfterFunc(stall, func() { close(stalled) })
			fallthrough
		case k > 100:
			<-stalled
		}
	})
	target := overHTTP(t, HTTPRequest{URL: server.URL})
	r := Load{Connections: 4, Rate: 500, Duration: time.Second}.Run(t.Context(), target)
	assert.Equal(t, int64(500), r.Answered())
	assert.GreaterOrEqual(t, r.Latency.Max, 299.0)
	// 150 of 500 should have begun during the stall, 15 of them in its first 30 ms.
	assert.GreaterOrEqual(t, r.Latency.P99, 250.0)
	assert.GreaterOrEqual(t, r.Latency.P90, 150.0)
	require.NotNil(t, r.Late)
}

func TestBadHTTPRequests(t *testing.T) {
	t.Parallel()
	for want, r := range map[string]HTTPRequest{
		`URL "127.0.0.1:8080/x": want`:  {URL: "127.0.0.1:8080/x"},
		`URL "ftp://h/": want`:          {URL: "ftp://h/"},
		"URL: put credentials":          {URL: "http://me:secret@h/"},
		`--method "GE T"`:               {URL: "http://h/", Method: "GE T"},
		`--header "no colon"`:           {URL: "http://h/", Headers: []string{"no colon"}},
		`--header "X"`:                  {URL: "http://h/", Headers: []string{"X: secret\r\nY: 1"}},
		`--header "X Y": want`:          {URL: "http://h/", Headers: []string{"X Y: secret"}},
		`URL "http:///path": want http`: {URL: "http:///path"},
	} {
		_, err := NewHTTP(r)
		if assert.ErrorContains(t, err, want) {
			assert.NotContains(t, err.Error(), "secret")
		}
	}
	_, err := NewHTTP(HTTPRequest{URL: "127.0.0.1:8080/x"})
	require.Error(t, err)
}

func TestKeysInTurn(t *testing.T) {
	t.Parallel()
	var counts [3]atomic.Int64
	server := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		counts[r.Header.Get("X-API-Key")[0]-'a'].Add(1)
	})
	r := Load{Connections: 3, Duration: 50 * time.Millisecond}.Run(t.Context(), overHTTP(t, HTTPRequest{URL: server.URL, Keys: []string{"a", "b", "c"}}))
	require.Positive(t, r.Answered())
	for i := range counts {
		assert.InDelta(t, r.Answered()/3, counts[i].Load(), 3)
	}
}
