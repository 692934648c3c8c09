package api_test

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/api"
	"github.com/oskadev/mailroom/internal/busctx"
	"github.com/oskadev/mailroom/testsupport"
	"github.com/oskadev/mailroom/workers"
)

// gate is a service whose handler waits until the test releases it.
type Gate struct {
	entered chan struct{}
	open    chan struct{}
}

func (s *stage) gate() *Gate {
	s.t.Helper()
	g := &Gate{entered: make(chan struct{}, 100), open: make(chan struct{})}
	service := workers.NewService("gate", workers.WithConcurrency(1))
	workers.Handle0(service, "ALIVE", func(context.Context) (bool, error) { return true, nil }, workers.Route("GET /gate"))
	workers.Handle0(service, "PASS", func(ctx context.Context) (string, error) {
		g.entered <- struct{}{}
		select {
		case <-g.open:
		case <-ctx.Done():
		}
		return "passed", nil
	}, workers.Route("POST /gate"), workers.Timeout(patience))
	s.work(service)
	s.awaitRoute("/gate")
	return g
}

// later calls PASS and returns a channel for the answer; nil: there was none.
func (s *stage) later() <-chan *answer {
	s.t.Helper()
	answers := make(chan *answer, 1)
	request := s.request(http.MethodPost, "/gate", "")
	go func() {
		a, err := s.send(request)
		if err != nil {
			a = nil
		}
		answers <- a
	}()
	return answers
}

// drain stops the gateway and returns once it accepts no connections.
func (s *stage) drain() <-chan error {
	s.t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- s.stop() }()
	testsupport.Eventually(s.t, patience, "new connections are refused", func() bool {
		conn, err := new(net.Dialer).DialContext(s.ctx, "tcp", s.addr)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	return ended
}

func (s *stage) ends(ended <-chan error, within time.Duration) error {
	s.t.Helper()
	select {
	case err := <-ended:
		return err
	case <-time.After(within):
		s.t.Fatalf("the gateway did not stop within %v", within)
		return nil
	}
}

func TestDrainAnswersCallsInFlight(t *testing.T) {
	t.Parallel()
	s := startGateway(t, testsupport.Miniredis(t), "")
	g := s.gate()
	answers := s.later()
	<-g.entered
	ended := s.drain()
	select {
	case err := <-ended:
		t.Fatalf("stopped with a call in flight: %v", err)
	default:
	}
	close(g.open)
	a := <-answers
	require.NotNil(t, a, "the call in flight was not answered")
	assert.Equal(t, http.StatusOK, a.status, a.body)
	assert.JSONEq(t, `"passed"`, string(a.Result))
	assert.True(t, a.close, "it has to say that the connection ends")
	require.NoError(t, s.ends(ended, patience))
}

func TestDrainHasALimit(t *testing.T) {
	t.Parallel()
	s := startGateway(t, testsupport.Miniredis(t), "", func(c *api.Config) { c.DrainLimit = 200 * time.Millisecond })
	g := s.gate()
	defer close(g.open)
	answers := s.later()
	<-g.entered
	require.ErrorContains(t, s.ends(s.drain(), patience), "drain limit of 200ms")
	if a := <-answers; a != nil { // the process may end before the answer is written
		check(t, http.MethodPost, a)
		assert.Equal(t, http.StatusServiceUnavailable, a.status, a.body)
		assert.Equal(t, "UNAVAILABLE", a.Error.Code)
		assert.True(t, strings.HasPrefix(a.header.Get("Location"), "/requests/gate."), "it may have run")
	}
}

func TestDrainIsNotStalledBySilentClients(t *testing.T) {
	t.Parallel()
	s := newStage(t, func(c *api.Config) { c.ReadTimeout = 500 * time.Millisecond })
	idle := s.dial(t)
	idle.say("GET /things/count HTTP/1.1\r\nHost: x\r\n\r\n")
	require.Equal(t, http.StatusOK, idle.hear(http.MethodGet).status)
	silent, half := s.dial(t), s.dial(t)
	half.say("GET /things/count HTTP/1.1\r\nHost: x\r\nX-Sl")
	ended := s.drain()
	idle.closed()
	require.NoError(t, s.ends(ended, 5*time.Second))
	assert.Equal(t, http.StatusRequestTimeout, half.hear(http.MethodGet).status)
	half.closed()
	assert.Equal(t, http.StatusRequestTimeout, silent.hear(http.MethodGet).status)
	silent.closed()
}

func TestDrainingIsNotReady(t *testing.T) {
	t.Parallel()
	s := startGateway(t, testsupport.Miniredis(t), "")
	g := s.gate()
	answers := s.later()
	<-g.entered
	// A request that began before the drain is still served: /readyz answers 503.
	w := s.dial(t)
	w.say("GET /readyz HTTP/1.1\r\nHost: x\r\n")
	again := s.dial(t)
	again.say("GET /healthz HTTP/1.1\r\nHost: x\r\n")
	ended := s.drain()
	w.say("\r\n")
	a := w.hear(http.MethodGet)
	assert.Equal(t, http.StatusServiceUnavailable, a.status, a.body)
	assert.Contains(t, a.Error.Message, "stopping")
	again.say("\r\n")
	assert.Equal(t, http.StatusOK, again.hear(http.MethodGet).status, "the process is up")
	close(g.open)
	assert.NotNil(t, <-answers)
	require.NoError(t, s.ends(ended, patience))
}

// In the drain delay the gateway serves as before, and load balancers and clients learn that
// it stops.
func TestDrainDelay(t *testing.T) {
	t.Parallel()
	s := newStage(t, func(c *api.Config) { c.DrainDelay = 3 * time.Second })
	old := s.dial(t)
	old.say(again)
	require.False(t, old.hear(http.MethodGet).close)
	ended := make(chan error, 1)
	go func() { ended <- s.stop() }()
	var probe *answer
	testsupport.Eventually(t, patience, "the gateway is not ready", func() bool {
		probe = s.do(http.MethodGet, "/readyz", "")
		return probe.status == http.StatusServiceUnavailable
	})
	assert.Contains(t, probe.Error.Message, "stopping")
	old.say(again)
	a := old.hear(http.MethodGet)
	assert.Equal(t, http.StatusOK, a.status, a.body)
	assert.True(t, a.close, "its client has to connect elsewhere")
	fresh := s.dial(t)
	for range 2 {
		fresh.say(again)
		a = fresh.hear(http.MethodGet)
		assert.Equal(t, http.StatusOK, a.status, a.body)
		assert.False(t, a.close, "a busy client would connect for each request")
	}
	require.NoError(t, s.ends(ended, patience))
	fresh.closed()
}

// A gateway opens its listener once it can serve.
func TestServeWhenReady(t *testing.T) {
	t.Parallel()
	away, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := away.Addr().String()
	s := &stage{t: t}
	server, err := api.New(busctx.With(t.Context(), s.connect("redis://"+address)), api.Config{})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	var ready atomic.Bool // Redis can be reached
	asked, ended := make(chan bool, 1), make(chan error, 1)
	go func() {
		ended <- server.ServeWhenReady(ctx, func(ctx context.Context) (net.Listener, error) {
			asked <- ready.Load()
			return new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		})
	}()
	tried, err := away.Accept()
	require.NoError(t, err)
	require.NoError(t, tried.Close())
	require.NoError(t, away.Close())
	ready.Store(true)
	testsupport.MiniredisAt(t, address)
	assert.True(t, <-asked, "it listened before it could serve")
	stop()
	require.NoError(t, s.ends(ended, patience))

	server, err = api.New(busctx.With(t.Context(), s.connect("redis://"+testsupport.FreeAddr(t))), api.Config{})
	require.NoError(t, err)
	require.NoError(t, server.ServeWhenReady(ctx, nil), "it was stopped before it could serve")
}

func TestServeEndsWithAContextThatHasEnded(t *testing.T) {
	t.Parallel()
	url := testsupport.Miniredis(t)
	for range 20 { // whether the HTTP library listens already is a race
		server, ln := newServer(t, url)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		ended := make(chan error, 1)
		go func() { ended <- server.Serve(ctx, ln) }()
		select {
		case err := <-ended:
			require.NoError(t, err)
		case <-time.After(patience):
			t.Fatal("Serve did not return")
		}
	}
}

func TestServeFailsWithItsListener(t *testing.T) {
	t.Parallel()
	server, ln := newServer(t, testsupport.Miniredis(t))
	require.NoError(t, ln.Close())
	require.ErrorContains(t, server.Serve(t.Context(), ln), ln.Addr().String())
}

func newServer(t *testing.T, url string) (*api.Server, net.Listener) {
	t.Helper()
	s := &stage{t: t}
	server, err := api.New(busctx.With(t.Context(), s.connect(url)), api.Config{})
	require.NoError(t, err)
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return server, ln
}

func TestConfigNamesEveryFault(t *testing.T) {
	t.Parallel()
	_, err := api.New(t.Context(), api.Config{
		BodyLimit: -1, HeaderLimit: 10, ReadTimeout: -1, WriteTimeout: -1, IdleTimeout: -1, DrainLimit: -1, MailboxLimit: -1, MinReplicas: -2,
	})
	for _, fault := range []string{"body limit", "header limit", "read timeout", "write timeout", "idle timeout", "drain limit", "mailbox limit", "min replicas"} {
		require.ErrorContains(t, err, fault)
	}
}

func TestRedisAwayAndBack(t *testing.T) {
	t.Parallel()
	url := testsupport.Miniredis(t)
	proxy := testsupport.StartProxy(t, strings.TrimPrefix(url, "redis://"))
	s := startGateway(t, url, proxy.URL())
	s.work(s.things())
	s.awaitRoute("/things/count")

	proxy.Refuse(true)
	proxy.Cut()
	testsupport.Eventually(t, 5*time.Second, "the gateway is not ready", func() bool {
		return s.do(http.MethodGet, "/readyz", "").status == http.StatusServiceUnavailable
	})
	s.got(`{"status":"ok"}`, http.MethodGet, "/healthz", "")
	for _, call := range [][2]string{{http.MethodGet, "/things/count"}, {http.MethodPost, "/things/5/touch"}} {
		began := time.Now()
		a := s.refused(503, "UNAVAILABLE", call[0], call[1], "")
		assert.Less(t, time.Since(began), time.Second, call)
		assert.NotEmpty(t, a.header.Get("Retry-After"))
		assert.NotContains(t, a.body, "127.0.0.1", "the answer does not contain the address of Redis")
		assert.NotContains(t, a.header, "Location", "it was not sent")
	}
	s.refused(400, "BAD_REQUEST", http.MethodGet, "/things/abc", "")
	s.untouched()

	proxy.Refuse(false)
	testsupport.Eventually(t, patience, "the gateway is ready again", func() bool {
		return s.do(http.MethodGet, "/readyz", "").status == http.StatusOK
	})
	s.got(`3`, http.MethodGet, "/things/count", "")
	s.got(`{"id":5}`, http.MethodPost, "/things/5/touch", "")
}

func TestGatewayStartsWithoutRedis(t *testing.T) {
	t.Parallel()
	url := testsupport.Miniredis(t)
	proxy := testsupport.StartProxy(t, strings.TrimPrefix(url, "redis://"))
	proxy.Refuse(true)
	s := newGateway(t, url, proxy.URL())
	s.refused(503, "UNAVAILABLE", http.MethodGet, "/readyz", "")
	s.refused(503, "UNAVAILABLE", http.MethodGet, "/things/count", "")
	s.got(`{"status":"ok"}`, http.MethodGet, "/healthz", "")
	s.work(s.things())
	proxy.Refuse(false)
	s.awaitRoute("/things/count")
}

func TestFullMailboxIsOverloaded(t *testing.T) {
	t.Parallel()
	s := startGateway(t, testsupport.Miniredis(t), "", func(c *api.Config) { c.MailboxLimit = 2 })
	g := s.gate()
	first := s.later()
	<-g.entered
	second := s.later()
	mailbox := s.conn.Keys.Requests("gate")
	testsupport.Eventually(t, patience, "two requests lie in the mailbox", func() bool {
		return s.conn.Redis().XLen(s.ctx, mailbox).Val() == 2
	})
	a := s.refused(503, "OVERLOADED", http.MethodPost, "/gate", "")
	assert.NotEmpty(t, a.header.Get("Retry-After"))
	assert.NotContains(t, a.header, "Location", "it was not accepted")
	close(g.open)
	for _, answers := range []<-chan *answer{first, second} {
		a := <-answers
		require.NotNil(t, a)
		assert.Equal(t, http.StatusOK, a.status, a.body)
	}
}
