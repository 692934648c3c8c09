package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/api"
	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/internal/busctx"
	"github.com/oskadev/mailroom/testsupport"
	"github.com/oskadev/mailroom/workers"
)

// patience is the time that a test waits for an expected event.
const patience = 20 * time.Second

// stage is one test's own Redis, gateway and workers.
type stage struct {
	t      *testing.T
	ctx    context.Context //nolint:containedctx // it lasts as long as the test
	url    string          // of Redis, for workers and for looking
	conn   *bus.Conn
	scheme string // http:// unless it serves HTTPS
	addr   string // of the gateway
	server *api.Server
	client *http.Client
	logs   *testsupport.Logs
	// connLogs are those of the connection that was opened last, such as that of a worker.
	connLogs *testsupport.Logs
	stop     func() error // drains the gateway and gives what Serve returned
	runs     atomic.Int64 // the number of runs of all handlers of the stage
}

// newStage starts a gateway and one worker of things.
func newStage(t *testing.T, change ...func(*api.Config)) *stage {
	t.Helper()
	s := startGateway(t, testsupport.Miniredis(t), "", change...)
	s.work(s.things())
	s.awaitRoute("/things/count")
	return s
}

// startGateway starts a gateway and waits until it is ready.
func startGateway(t *testing.T, url, own string, change ...func(*api.Config)) *stage {
	t.Helper()
	s := newGateway(t, url, own, change...)
	s.awaitReady()
	return s
}

func (s *stage) awaitReady() {
	s.t.Helper()
	testsupport.Eventually(s.t, patience, "the gateway is ready", func() bool {
		return s.do(http.MethodGet, "/readyz", "").status == http.StatusOK
	})
}

// newGateway starts a gateway with its own Redis URL, such as that of a proxy; empty: the
// URL of the stage.
func newGateway(t *testing.T, url, own string, change ...func(*api.Config)) *stage {
	t.Helper()
	return newGatewayIn(t.Context(), t, url, own, change...)
}

// newGatewayIn is newGateway with the values of a context.
func newGatewayIn(ctx context.Context, t *testing.T, url, own string, change ...func(*api.Config)) *stage {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*patience)
	t.Cleanup(cancel)
	s := &stage{t: t, ctx: ctx, url: url, scheme: "http://"}
	s.conn = s.connect(url)
	if own == "" {
		own = url
	}
	log, logs := testsupport.Logger(t)
	cfg := api.Config{Logger: log, DrainLimit: patience}
	for _, c := range change {
		c(&cfg)
	}
	server, err := api.New(busctx.With(s.ctx, s.connect(own)), cfg) //nolint:contextcheck // it is made of ctx
	require.NoError(t, err)
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.addr, s.logs, s.server = ln.Addr().String(), logs, server
	serving, end := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(serving, ln) }()
	s.stop = sync.OnceValue(func() error {
		end()
		return <-ended
	})
	transport := &http.Transport{MaxIdleConnsPerHost: 256, ResponseHeaderTimeout: patience}
	s.client = &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		_ = s.stop()
	})
	return s
}

func (s *stage) connect(url string) *bus.Conn {
	s.t.Helper()
	log, logs := testsupport.Logger(s.t)
	s.connLogs = logs
	conn, err := bus.Connect(url, bus.Options{Logger: log})
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// work starts a worker of the services and returns a function that drains it.
func (s *stage) work(services ...*workers.Service) (stop func()) {
	s.t.Helper()
	return s.workWith(workers.Config{}, services...)
}

func (s *stage) workWith(cfg workers.Config, services ...*workers.Service) (stop func()) {
	s.t.Helper()
	conn := s.connect(s.url)
	ctx, cancel := context.WithCancel(s.ctx)
	ended := make(chan error, 1)
	cfg.IdleLimit = 100 * time.Millisecond
	go func() { ended <- workers.Run(busctx.With(ctx, conn), cfg, services...) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			s.t.Errorf("the worker ended with %v", err)
		}
	})
	s.t.Cleanup(stop)
	return stop
}

// awaitRoute waits until a GET gets 200.
func (s *stage) awaitRoute(path string) {
	s.t.Helper()
	testsupport.Eventually(s.t, patience, path+" is served", func() bool {
		return s.do(http.MethodGet, path, "").status == http.StatusOK
	})
	s.runs.Store(0)
}

// awaitNoWorker waits until the gateway sees that a route has no worker.
func (s *stage) awaitNoWorker(path string) {
	s.t.Helper()
	testsupport.Eventually(s.t, patience, "no worker is left", func() bool {
		return s.do(http.MethodGet, path, "").status == http.StatusServiceUnavailable
	})
}

// answer is a response with its body.
type answer struct {
	status int
	header http.Header
	length int64 // of Content-Length
	close  bool  // Connection: close
	body   string
	envelope
}

// envelope is the parsed body.
type envelope struct {
	OK     *bool           `json:"ok"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Code          string          `json:"code"`
		Message       string          `json:"message"`
		Status        int             `json:"status"`
		Details       json.RawMessage `json:"details"`
		Service       string          `json:"service"`
		Action        string          `json:"action"`
		RequestID     string          `json:"request_id"`
		CorrelationID string          `json:"correlation_id"`
	} `json:"error"`
}

// faults returns the fields in the details of an error.
func (a *answer) faults(t *testing.T) []string {
	t.Helper()
	require.NotNil(t, a.Error, a.body)
	var details []struct{ Field, Problem string }
	require.NoError(t, json.Unmarshal(a.Error.Details, &details), a.body)
	fields := make([]string, len(details))
	for i, d := range details {
		require.NotEmpty(t, d.Problem, a.body)
		fields[i] = d.Field
	}
	return fields
}

// request returns a request. Headers are "Name: value"; a body is JSON unless a header says
// otherwise.
func (s *stage) request(method, path, body string, headers ...string) *http.Request {
	s.t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(s.ctx, method, s.scheme+s.addr+path, reader)
	require.NoError(s.t, err)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	return r
}

// do sends a request and checks the invariants of every answer.
func (s *stage) do(method, path, body string, headers ...string) *answer {
	s.t.Helper()
	a, err := s.send(s.request(method, path, body, headers...))
	require.NoError(s.t, err)
	check(s.t, method, a)
	return a
}

// send is do, for other goroutines than that of the test.
func (s *stage) send(r *http.Request) (*answer, error) {
	response, err := s.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	return read(response)
}

func read(response *http.Response) (*answer, error) {
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	a := &answer{status: response.StatusCode, header: response.Header, length: response.ContentLength, close: response.Close, body: string(body)}
	if len(bytes.TrimSpace(body)) > 0 {
		err = json.Unmarshal(body, &a.envelope)
	}
	return a, err
}

// check checks the invariants of every answer: it is an envelope and has the ID of its
// request.
func check(t *testing.T, method string, a *answer) {
	t.Helper()
	require.NotEmpty(t, a.header.Get("X-Request-Id"))
	if method == http.MethodHead || a.status == http.StatusNoContent {
		require.Empty(t, a.body)
		return
	}
	require.Equal(t, "application/json", a.header.Get("Content-Type"))
	require.NotNil(t, a.OK, a.body)
	if *a.OK {
		require.Less(t, a.status, 300, a.body)
		return
	}
	require.NotNil(t, a.Error, a.body)
	require.NotEmpty(t, a.Error.Code, a.body)
	require.NotEmpty(t, a.Error.Message, a.body)
	require.Equal(t, a.status, a.Error.Status, a.body)
	require.Equal(t, a.header.Get("X-Request-Id"), a.Error.RequestID, a.body)
	if a.status == http.StatusServiceUnavailable {
		require.NotEmpty(t, a.header.Get("Retry-After"))
	}
}

// refused sends a request that must get this error.
func (s *stage) refused(status int, code, method, path, body string, headers ...string) *answer {
	s.t.Helper()
	a := s.do(method, path, body, headers...)
	require.Equal(s.t, status, a.status, a.body)
	require.Equal(s.t, code, a.Error.Code, a.body)
	return a
}

// got sends a request that must get 200 with this result.
func (s *stage) got(result, method, path, body string, headers ...string) *answer {
	s.t.Helper()
	a := s.do(method, path, body, headers...)
	require.Equal(s.t, http.StatusOK, a.status, a.body)
	require.Equal(s.t, result, string(a.Result))
	return a
}

// untouched checks that no handler ran and that the mailbox is empty.
func (s *stage) untouched() {
	s.t.Helper()
	// Answered requests leave the mailbox a moment later. An unexpected request
	// would leave it by a run.
	testsupport.Eventually(s.t, patience, "the mailbox is empty", func() bool {
		length, err := s.conn.Redis().XLen(s.ctx, s.conn.Keys.Requests("things")).Result()
		return err == nil && length == 0
	})
	require.Zero(s.t, s.runs.Load(), "a handler ran")
}

// callBus calls a service without the gateway.
func (s *stage) callBus(service, action, args string) string {
	s.t.Helper()
	client := caller.New(s.conn, caller.Config{})
	defer client.Close()
	require.NoError(s.t, client.WaitReady(s.ctx))
	reply, err := client.Do(s.ctx, &caller.Call{Service: service, Action: action, Args: args})
	require.NoError(s.t, err)
	return reply.Envelope
}
