package observability

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/api"
	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/examples/echo"
	"github.com/oskadev/mailroom/examples/shop"
	"github.com/oskadev/mailroom/internal/busctx"
	"github.com/oskadev/mailroom/testsupport"
	"github.com/oskadev/mailroom/workers"
)

const patience = 20 * time.Second

// stage is a Redis with a gateway and workers, in this process.
type stage struct {
	t      *testing.T
	conn   *bus.Conn
	base   string // URL of the gateway
	client *http.Client
	// gateway and worker are the addresses of their pages for operators.
	gateway, worker string
	rounds          int
}

// newStage runs the shop, echo, and two services for trouble: one whose requests are
// delivered again, and one that has lost its worker.
func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{t: t, client: &http.Client{Timeout: patience, Transport: &http.Transport{}}, worker: testsupport.FreeAddr(t)}
	t.Cleanup(s.client.CloseIdleConnections)
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	var err error
	s.conn, err = bus.Connect(testsupport.StartRedis(t, "--maxmemory", "256mb").URL(), bus.Options{Logger: log})
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.conn.Close() })
	s.serve(api.Config{Logger: log, DrainLimit: patience, Versions: shop.Versions})

	example := shop.New(s.conn.Redis(), wire.DefaultNamespace)
	require.NoError(t, example.Seed(t.Context()))
	s.work(workers.Config{Logger: log, OpsListen: s.worker}, append(example.Services(), echo.Service(s.conn.Redis(), wire.DefaultNamespace))...)
	s.work(workers.Config{Logger: slog.New(slog.DiscardHandler), MaxAttempts: 2, IdleLimit: 100 * time.Millisecond}, trouble())
	gone := workers.NewService("gone")
	workers.Handle0(gone, "GET_GONE", func(context.Context) (string, error) { return "here", nil }, workers.Route("GET /gone"))
	leave := s.work(workers.Config{Logger: log}, gone)
	for _, path := range []string{"/users/1", "/items/1", "/payments?user_id=1", "/vouchers/USED10", "/echo/1", "/trouble", "/gone"} {
		s.eventually(http.StatusOK, path)
	}
	leave()
	s.eventually(http.StatusServiceUnavailable, "/gone")
	return s
}

// trouble returns a service whose requests are delivered again: AGAIN once, DIE until it
// is a dead letter.
func trouble() *workers.Service {
	service := workers.NewService("trouble")
	errAgain := errors.New("not yet")
	workers.Handle0(service, "READY", func(context.Context) (bool, error) { return true, nil }, workers.Route("GET /trouble"))
	workers.Handle0(service, "AGAIN", func(ctx context.Context) (int, error) {
		if workers.Attempt(ctx) == 1 {
			return 0, workers.Release(errAgain)
		}
		return workers.Attempt(ctx), nil
	}, workers.Route("POST /trouble/again"))
	workers.Handle0(service, "DIE", func(context.Context) (int, error) { return 0, workers.Release(errAgain) }, workers.Route("POST /trouble/die"))
	return service
}

// serve runs the gateway.
func (s *stage) serve(cfg api.Config) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.t.Context()))
	server, err := api.New(busctx.With(ctx, s.conn), cfg)
	require.NoError(s.t, err)
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	require.NoError(s.t, err)
	s.base = "http://" + ln.Addr().String()
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, ln) }()
	pages := httptest.NewServer(server.Ops())
	s.gateway = strings.TrimPrefix(pages.URL, "http://")
	s.t.Cleanup(func() {
		pages.Close()
		cancel()
		assert.NoError(s.t, <-ended)
	})
}

// work runs a worker of the services until stop is called or the test ends.
func (s *stage) work(cfg workers.Config, services ...*workers.Service) (stop func()) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- workers.Run(busctx.With(ctx, s.conn), cfg, services...) }()
	stop = sync.OnceFunc(func() {
		cancel()
		assert.NoError(s.t, <-ended)
	})
	s.t.Cleanup(stop)
	return stop
}

// send returns the status of the answer; 0: there is none.
func (s *stage) send(method, path, body string) int {
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.base+path, reader)
	if err != nil {
		return 0
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	response, err := s.client.Do(r)
	if err != nil {
		return 0
	}
	_ = response.Body.Close()
	return response.StatusCode
}

func (s *stage) eventually(status int, path string) {
	s.t.Helper()
	testsupport.Eventually(s.t, patience, path+" answers "+strconv.Itoa(status), func() bool {
		return s.send(http.MethodGet, path, "") == status
	})
}

// traffic sends a request of each kind.
func (s *stage) traffic() {
	s.t.Helper()
	s.rounds++
	const payment = `{"user_id":1,"item_id":1,"gateway":"A","amount":5}`
	for _, one := range []struct {
		method, path, body string
		status             int
	}{
		{http.MethodGet, "/users/1", "", http.StatusOK}, // cached
		{http.MethodGet, "/users/x", "", http.StatusBadRequest},
		{http.MethodGet, "/users/999", "", http.StatusNotFound},
		{http.MethodGet, "/nothing", "", http.StatusNotFound}, // no route
		{http.MethodPost, "/echo", `{"a":1}`, http.StatusOK},
		{http.MethodPost, "/v2/payments", payment, http.StatusCreated},
		{http.MethodPost, "/v2/payments", strings.Replace(payment, `"user_id":1`, `"user_id":2`, 1), http.StatusForbidden},
		{http.MethodGet, "/gone", "", http.StatusServiceUnavailable},
		{http.MethodPost, "/trouble/again", "", http.StatusOK},
		{http.MethodPost, "/trouble/die", "", http.StatusInternalServerError},
	} {
		require.Equal(s.t, one.status, s.send(one.method, one.path, one.body), "%s %s", one.method, one.path)
	}
	// The same call twice at once: the second one joins the first.
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			assert.Equal(s.t, http.StatusOK, s.send(http.MethodGet, "/echo/"+strconv.Itoa(s.rounds)+"/cached?ms=100", ""))
		})
	}
	both.Wait()
}
