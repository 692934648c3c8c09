package faults

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/oskadev/mailroom/api"
	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/examples/echo"
	"github.com/oskadev/mailroom/examples/shop"
	"github.com/oskadev/mailroom/internal/busctx"
	"github.com/oskadev/mailroom/internal/child"
	"github.com/oskadev/mailroom/internal/host"
	"github.com/oskadev/mailroom/workers"
)

// The environment variables that configure a process.
const (
	envRole        = "MAILROOM_FAULTS_ROLE" // worker, gateway or host
	envRedis       = "MAILROOM_FAULTS_REDIS"
	envLedger      = "MAILROOM_FAULTS_LEDGER"
	envListen      = "MAILROOM_FAULTS_LISTEN"
	envIdle        = "MAILROOM_FAULTS_IDLE"
	envDrainDelay  = "MAILROOM_FAULTS_DRAIN_DELAY"
	envAttempts    = "MAILROOM_FAULTS_ATTEMPTS"
	envConcurrency = "MAILROOM_FAULTS_CONCURRENCY"
	envTimeout     = "MAILROOM_FAULTS_TIMEOUT" // of the actions, ms
	envExamples    = "MAILROOM_FAULTS_EXAMPLES"
	envCommand     = "MAILROOM_FAULTS_COMMAND"  // of the children of a host, separated by spaces
	envReplicas    = "MAILROOM_FAULTS_REPLICAS" // that a gateway requires
	envHook        = "MAILROOM_FAULTS_HOOK"     // step:kill:n or step:freeze:n, at the nth time
)

const service = "things"

// work describes a run, as query or body.
type work struct {
	MS  int    `json:"ms,omitempty"`  // milliseconds
	Pad int    `json:"pad,omitempty"` // length of the result
	Do  string `json:"do,omitempty"`  // die: kill the process; stubborn: ignore the context; fail: return an error
}

// done is the result of a run: the call and the run.
type done struct {
	N   string `json:"n"`
	Run string `json:"run"`
	Pad string `json:"pad,omitempty"`
}

// player is a process of the suite.
type player struct {
	ledger *os.File
	log    *slog.Logger
	conn   *bus.Conn
	step   string
	what   string
	left   atomic.Int64 // until the hook strikes
}

// play is the main function of a worker or gateway process.
func play(role string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	p := &player{log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	var err error
	if p.ledger, err = os.OpenFile(os.Getenv(envLedger), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err != nil {
		return err
	}
	if hook := strings.Split(os.Getenv(envHook), ":"); len(hook) == 3 {
		n, err := strconv.ParseInt(hook[2], 10, 64)
		if err != nil {
			return err
		}
		p.step, p.what = hook[0], hook[1]
		p.left.Store(n)
	}
	if p.conn, err = bus.Connect(os.Getenv(envRedis), bus.Options{Logger: p.log, Hook: p.hook}); err != nil {
		return err
	}
	defer func() { _ = p.conn.Close() }()
	go p.stats(ctx, role)
	switch role {
	case "worker":
		return p.work(ctx)
	case "host":
		return p.host(ctx)
	default:
		return p.serve(ctx)
	}
}

// note writes one line by one write, so that lines of other processes do not mix with it.
func (p *player) note(what, n, id string, attempt int) {
	_, _ = fmt.Fprintf(p.ledger, "%d %s %s %s %d %d\n", time.Now().UnixNano(), what, n, id, attempt, os.Getpid())
}

// stats records memory and goroutines once per second.
func (p *player) stats(ctx context.Context, role string) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			p.note("stat", role, strconv.Itoa(residentKB()), runtime.NumGoroutine())
		case <-ctx.Done():
			return
		}
	}
}

// residentKB returns the resident memory of this process; 0 without /proc.
func residentKB() int {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, resident int
	_, _ = fmt.Sscan(string(text), &size, &resident)
	return resident * os.Getpagesize() / 1024
}

// hook records settled requests, and kills or freezes the process at the configured step.
func (p *player) hook(step bus.Step, id string) {
	switch step {
	case bus.StepBegin:
		p.note("begin", "-", id, 0)
	case bus.StepSettled:
		p.note("settled", "-", id, 0)
	default:
	}
	if string(step) != p.step || p.left.Add(-1) != 0 {
		return
	}
	p.note("hook", "-", id, 0)
	if p.what == "kill" {
		die()
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	// Wait for the signal: the process must not go on.
	<-time.After(50 * time.Millisecond)
}

func die() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

func (p *player) work(ctx context.Context) error {
	s := workers.NewService(service)
	timeout := workers.Timeout(time.Duration(number(envTimeout)) * time.Millisecond)
	workers.Handle2(s, "RUN", p.handle, workers.Route("POST /things/run/:n"), timeout)
	workers.Handle2(s, "READ", p.handle, workers.Route("GET /things/read/:n"), timeout)
	workers.Handle2(s, "SHARE", p.handle, workers.Route("GET /things/share/:n"), timeout,
		workers.Cache(30*time.Second, "thing:{0}"))
	all := []*workers.Service{s}
	if os.Getenv(envExamples) != "" {
		rdb, namespace := p.conn.Redis(), p.conn.Keys.Namespace()
		example := shop.New(rdb, namespace)
		if err := example.Seed(ctx); err != nil {
			return err
		}
		all = append(append(all, echo.Service(rdb, namespace)), example.Services()...)
	}
	return workers.Run(busctx.With(ctx, p.conn), workers.Config{
		Logger: p.log, IdleLimit: time.Duration(number(envIdle)) * time.Millisecond,
		MaxAttempts: number(envAttempts), Concurrency: number(envConcurrency),
	}, all...)
}

// host runs two children, as mailroom serve does.
func (p *player) host(ctx context.Context) error {
	h := host.New(host.Config{
		Conn: p.conn, Log: p.log, Linger: 3 * time.Second,
		IdleLimit: time.Duration(number(envIdle)) * time.Millisecond, MaxAttempts: number(envAttempts),
	})
	defer h.Close()
	return child.Supervise(ctx, child.Config{Command: strings.Fields(os.Getenv(envCommand)), Children: 2, Host: h, Log: p.log})
}

func number(env string) int {
	n, _ := strconv.Atoi(os.Getenv(env)) // 0 means the default
	return n
}

func (p *player) handle(ctx context.Context, n string, w work) (done, error) {
	id, attempt := workers.RequestID(ctx), workers.Attempt(ctx)
	p.note("run", n, id, attempt)
	if w.Do == "die" {
		die()
	}
	lost := ctx.Done()
	if w.Do == "stubborn" {
		lost = nil
	}
	timer := time.NewTimer(time.Duration(w.MS) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-lost:
		return done{}, context.Cause(ctx)
	}
	p.note("end", n, id, attempt)
	if w.Do == "fail" {
		return done{}, workers.Fail("ASKED_TO_FAIL", http.StatusTeapot, "as asked")
	}
	return done{N: n, Run: fmt.Sprintf("%d.%d", os.Getpid(), attempt), Pad: strings.Repeat("x", w.Pad)}, nil
}

func (p *player) serve(ctx context.Context) error {
	server, err := api.New(busctx.With(ctx, p.conn), api.Config{
		Logger: p.log, Streams: 10_000, CacheTimeout: 5 * time.Second, Versions: shop.Versions, IdleLimit: time.Duration(number(envIdle)) * time.Millisecond,
		DrainDelay:  time.Duration(number(envDrainDelay)) * time.Millisecond,
		MinReplicas: number(envReplicas),
	})
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return server.ServeWhenReady(ctx, func(ctx context.Context) (net.Listener, error) {
			return new(net.ListenConfig).Listen(ctx, "tcp", os.Getenv(envListen))
		})
	})
	group.Go(func() error {
		if err := p.conn.WaitReady(ctx); err != nil && !errors.Is(err, context.Canceled) {
			return err
		}
		return nil
	})
	return group.Wait()
}
