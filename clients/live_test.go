// Package clients tests the packages for other languages against a gateway.
package clients

import (
	"bufio"
	"context"
	"net"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/oskadev/mailroom/api"
	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/internal/busctx"
	"github.com/oskadev/mailroom/testsupport"
	"github.com/oskadev/mailroom/workers"
)

func TestMain(m *testing.M) {
	testsupport.Main(m,
		// fasthttp starts one for the Date header of all servers, and never ends it.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		// The worker pool of fasthttp checks every 10 s whether it has been stopped.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
	)
}

func TestNodeClient(t *testing.T) {
	t.Parallel()
	live(t, []string{"node", "node/test/live.mjs"}, []string{"node", "../examples/conformance/worker.mjs"})
}

func TestPythonClient(t *testing.T) {
	t.Parallel()
	python := []string{"env", "PYTHONPATH=python/src", "python3"}
	live(t, append(python, "python/tests/live.py"), append(python, "../examples/conformance/package_worker.py"))
}

// live runs a client against a gateway that stops while requests run, and a worker on a
// socket of that gateway. The client writes a line when the gateway has to stop.
func live(t *testing.T, client, worker []string) {
	t.Helper()
	for _, command := range [][]string{{"node", "node/dist/index.js"}, {"python3", "-c", "import websockets"}} {
		if out, err := exec.CommandContext(t.Context(), command[0], command[1:]...).CombinedOutput(); err != nil {
			if os.Getenv("MAILROOM_TEST_NODE") == "required" {
				t.Fatalf("%v: %s: run clients/node/check and clients/python/check", err, out)
			}
			t.Skipf("%v: the packages are not built", err)
		}
	}
	s := &site{t: t, url: testsupport.StartRedis(t).URL(), release: make(chan struct{}), cancelled: make(chan struct{})}
	s.serve()
	stop := s.gateway()
	start(t, s.address, worker)
	process, lines := start(t, s.address, client)
	if assert.True(t, lines.Scan(), "the client ended early") {
		assert.Equal(t, "drain", lines.Text())
		stop()
		s.gateway()
		close(s.release)
	}
	assert.False(t, lines.Scan(), lines.Text())
	require.NoError(t, process.Wait())
	<-s.cancelled
	s.mu.Lock()
	defer s.mu.Unlock()
	assert.Len(t, s.runs, 20)
	for key, runs := range s.runs {
		assert.Equal(t, 1, runs, key)
	}
}

// start starts a command with the address of the gateway, and returns the lines that it
// prints.
func start(t *testing.T, address string, command []string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
	cmd.Env = append(os.Environ(), "MAILROOM_URL=http://"+address)
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // fails only after its end
		_ = cmd.Wait()
	})
	return cmd, bufio.NewScanner(out)
}

// site is a gateway with the service "live".
type site struct {
	t         *testing.T
	url       string
	address   string
	release   chan struct{} // closed when COUNT may end
	cancelled chan struct{} // closed when HOLD was cancelled

	mu   sync.Mutex
	runs map[string]int // of COUNT by key
}

// gateway starts a gateway, always at the same address, and returns the function that
// stops it.
func (s *site) gateway() (stop func()) {
	s.t.Helper()
	log, _ := testsupport.Logger(s.t)
	conn, err := bus.Connect(s.url, bus.Options{Logger: log})
	require.NoError(s.t, err)
	ctx, end := context.WithCancel(context.WithoutCancel(s.t.Context()))
	gateway, err := api.New(busctx.With(ctx, conn), api.Config{Logger: log, DrainLimit: 300 * time.Millisecond})
	require.NoError(s.t, err)
	if s.address == "" {
		s.address = testsupport.FreeAddr(s.t)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.address)
	require.NoError(s.t, err)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = gateway.Serve(ctx, listener) // the drain limit passes
	}()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			end()
			<-served
			assert.NoError(s.t, conn.Close())
		})
	}
	s.t.Cleanup(stop)
	return stop
}

// key is the argument of COUNT.
type key struct {
	Key string `json:"key"`
}

// serve serves the service until the test ends.
func (s *site) serve() {
	s.runs = make(map[string]int)
	it := workers.NewService("live")
	get := func(_ context.Context, id int64) (int64, error) { return id, nil }
	workers.Handle1(it, "GET", get, workers.Route("GET /live/:id"), workers.Cache(time.Minute, "item:{0}"))
	workers.Handle1(it, "TOUCH", get, workers.Route("POST /live/:id"), workers.Invalidates("item:{0}"))
	workers.Handle0(it, "HOLD", func(ctx context.Context) (any, error) {
		defer close(s.cancelled)
		if err := workers.Progress(ctx, "holding"); err != nil {
			return nil, err
		}
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}, workers.Route("POST /live/hold"))
	workers.Handle1(it, "COUNT", func(_ context.Context, in key) (int, error) {
		s.mu.Lock()
		s.runs[in.Key]++
		runs := s.runs[in.Key]
		s.mu.Unlock()
		<-s.release
		return runs, nil
	}, workers.Route("POST /live/count"))
	log, _ := testsupport.Logger(s.t)
	ctx, end := context.WithCancel(context.WithoutCancel(s.t.Context()))
	served := make(chan error, 1)
	go func() {
		served <- workers.Run(ctx, workers.Config{RedisURL: s.url, Logger: log, IdleLimit: 600 * time.Millisecond}, it)
	}()
	s.t.Cleanup(func() {
		end()
		assert.NoError(s.t, <-served)
	})
}
