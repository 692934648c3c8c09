package bustest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/admin"
	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/consumer"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/testsupport"
)

// patience is the longest wait of a test.
const patience = 20 * time.Second

// idleLimit is short, so that tests that wait for it are quick.
const idleLimit = 300 * time.Millisecond

// stage is the Redis of one test, and a connection to it.
type stage struct {
	t    *testing.T
	ctx  context.Context //nolint:containedctx // that of the test
	url  string
	conn *bus.Conn
	rdb  redis.UniversalClient
	logs testsupport.Output // of all connections
}

func newStage(t *testing.T, url string) *stage {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	t.Cleanup(cancel)
	s := &stage{t: t, ctx: ctx, url: url}
	s.conn = s.connect(nil)
	s.rdb, _ = s.conn.Redis().(redis.UniversalClient) // it always is one
	return s
}

// connect opens one more connection, like another process.
func (s *stage) connect(hook bus.Hook) *bus.Conn {
	s.t.Helper()
	conn, err := bus.Connect(s.url, bus.Options{
		Logger: slog.New(slog.NewTextHandler(io.MultiWriter(s.t.Output(), &s.logs), &slog.HandlerOptions{Level: slog.LevelInfo})), Hook: hook,
	})
	require.NoError(s.t, err)
	require.NoError(s.t, conn.WaitReady(s.ctx))
	s.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// client starts a client, like that of a gateway.
func (s *stage) client(cfg caller.Config) *caller.Client {
	s.t.Helper()
	c := caller.New(s.connect(nil), cfg)
	s.t.Cleanup(c.Close)
	require.NoError(s.t, c.WaitReady(s.ctx))
	return c
}

// handler runs one delivery.
type handler func(ctx context.Context, d *consumer.Delivery) consumer.Outcome

// worker is one running consumer.
type worker struct {
	*consumer.Consumer
	stop func() error // drains it and returns the error of Run
}

// serve starts a worker of the service "things".
func (s *stage) serve(run handler, change ...func(*consumer.Config)) *worker {
	s.t.Helper()
	return s.serveHooked(nil, run, change...)
}

// serveHooked starts a worker with a hook.
func (s *stage) serveHooked(hook bus.Hook, run handler, change ...func(*consumer.Config)) *worker {
	s.t.Helper()
	cfg := consumer.Config{Manifest: manifest("things"), IdleLimit: idleLimit, Run: run}
	for _, c := range change {
		c(&cfg)
	}
	consumer, err := consumer.New(s.connect(hook), cfg)
	require.NoError(s.t, err)
	ctx, cancel := context.WithCancel(s.ctx)
	ended := make(chan error, 1)
	go func() { ended <- consumer.Run(ctx) }()
	stop := sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	s.t.Cleanup(func() { _ = stop() })
	return &worker{Consumer: consumer, stop: stop}
}

func manifest(service string, routes ...string) *wire.Manifest {
	return &wire.Manifest{Service: service, Version: "1.0.0", Protocol: 1, Actions: []wire.Action{
		{Name: "DO", Routes: routes, Args: []wire.Argument{}},
	}}
}

// echo answers with the arguments.
func echo(_ context.Context, d *consumer.Delivery) consumer.Outcome {
	return success(d.Request.Args)
}

func success(result string) consumer.Outcome {
	return consumer.Done(wire.ReplyMeta{}, wire.Success([]byte(result)), 0)
}

// eventually waits until a condition holds.
func (s *stage) eventually(what string, holds func() bool) {
	s.t.Helper()
	require.Eventually(s.t, holds, patience, 5*time.Millisecond, what)
}

// clockError is more than the clocks of a caller and a worker may differ.
const clockError = 300 * time.Millisecond

// pass lets a deadline pass on all clocks.
func (s *stage) pass() {
	s.t.Helper()
	select {
	case <-time.After(clockError):
	case <-s.ctx.Done():
	}
}

// empty waits until the mailbox holds nothing, read or unread.
func (s *stage) empty() {
	s.t.Helper()
	s.eventually("the mailbox is empty", func() bool {
		stats, err := admin.ReadStats(s.ctx, s.conn, "things")
		return err == nil && stats.Backlog == 0 && stats.Pending == 0
	})
}

func (s *stage) record(id string) map[string]string {
	s.t.Helper()
	r, err := s.rdb.HGetAll(s.ctx, s.conn.Keys.Record("things", id)).Result()
	require.NoError(s.t, err)
	return r
}

// channels returns the channels of a request's callers.
func (s *stage) channels(id uuid.UUID) []string {
	s.t.Helper()
	return strings.Fields(s.record(id.String())["channels"])
}

func (s *stage) deadLetters() []redis.XMessage {
	s.t.Helper()
	letters, err := s.rdb.XRange(s.ctx, s.conn.Keys.Dead("things"), "-", "+").Result()
	require.NoError(s.t, err)
	return letters
}

// envelope is a parsed reply.
type envelope struct {
	OK     bool            `json:"ok"`
	Result json.RawMessage `json:"result"`
	Error  struct {
		Code    wire.Code       `json:"code"`
		Status  int             `json:"status"`
		Details json.RawMessage `json:"details"`
	} `json:"error"`
}

func open(t *testing.T, r wire.Reply) envelope {
	t.Helper()
	var e envelope
	require.NoError(t, json.Unmarshal([]byte(r.Envelope), &e), r.Envelope)
	return e
}

func safe(args string) *caller.Call {
	return &caller.Call{Service: "things", Action: "DO", Args: args, Safe: true, Timeout: patience}
}

func unsafe(args string) *caller.Call {
	return &caller.Call{Service: "things", Action: "DO", Args: args, Timeout: patience}
}

// counter counts runs by request.
type counter struct {
	mu   sync.Mutex
	runs map[string]int
}

func (c *counter) add(id string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.runs == nil {
		c.runs = make(map[string]int)
	}
	c.runs[id]++
	return c.runs[id]
}

func (c *counter) total() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, runs := range c.runs {
		n += runs
	}
	return n
}

func number(i int) string { return fmt.Sprintf("[%d]", i) }

// argument reads the argument that number wrote; -1: there is none.
func argument(d *consumer.Delivery) int {
	i := -1
	_, _ = fmt.Sscanf(d.Request.Args, "[%d]", &i)
	return i
}
