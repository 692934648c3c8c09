package workers_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/admin"
	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/testsupport"
	"github.com/oskadev/mailroom/workers"
)

// served runs a service on an embedded Redis and calls it.
type served struct {
	conn   *bus.Conn
	client *caller.Client
	logs   *testsupport.Logs
	stop   context.CancelFunc
	ended  <-chan error
}

func serve(t *testing.T, s *workers.Service, change ...func(*workers.Config)) *served {
	t.Helper()
	url := testsupport.Miniredis(t)
	log, logs := testsupport.Logger(t)
	conn, err := bus.Connect(url, bus.Options{Logger: log})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	cfg := workers.Config{RedisURL: url, Logger: log, IdleLimit: 300 * time.Millisecond}
	for _, c := range change {
		c(&cfg)
	}
	var running sync.WaitGroup
	running.Go(func() { ended <- workers.Run(ctx, cfg, s) })
	t.Cleanup(running.Wait)
	t.Cleanup(stop)
	client := caller.New(conn, caller.Config{})
	t.Cleanup(client.Close)
	require.NoError(t, client.WaitReady(t.Context()))
	return &served{conn: conn, client: client, logs: logs, stop: stop, ended: ended}
}

type answer struct {
	OK     bool            `json:"ok"`
	Result json.RawMessage `json:"result"`
	Error  wire.Error      `json:"error"`
	meta   wire.ReplyMeta
}

func (s *served) ask(t *testing.T, action, args string, change ...func(*caller.Call)) answer {
	t.Helper()
	ask := &caller.Call{Service: "things", Action: action, Args: args, Timeout: 20 * time.Second}
	for _, c := range change {
		c(ask)
	}
	reply, err := s.client.Do(t.Context(), ask)
	require.NoError(t, err)
	var a answer
	require.NoError(t, json.Unmarshal([]byte(reply.Envelope), &a), reply.Envelope)
	a.meta, err = wire.ParseReplyMeta(reply.Meta)
	require.NoError(t, err)
	return a
}

func things() *workers.Service { return workers.NewService("things", workers.WithVersion("2.0.0")) }

type point struct {
	X int    `json:"x"`
	Y int    `json:"y,omitempty"`
	L string `json:"l,omitempty"`
}

func TestArgumentsArePositional(t *testing.T) {
	t.Parallel()
	s := things()
	workers.Handle0(s, "NONE", func(context.Context) (string, error) { return "none", nil })
	workers.Handle1(s, "ONE", func(_ context.Context, p point) (point, error) { return p, nil })
	workers.Handle2(s, "TWO", func(_ context.Context, id int64, name string) (string, error) { return fmt.Sprint(id, name), nil })
	workers.Handle3(s, "THREE", func(_ context.Context, id int64, name string, p *point) (string, error) {
		return fmt.Sprint(id, name, p.X), nil
	})
	workers.Handle1(s, "RAW", func(_ context.Context, raw json.RawMessage) (json.RawMessage, error) { return raw, nil })
	run := serve(t, s)
	for _, c := range []struct{ action, args, want string }{
		{"NONE", ``, `"none"`},
		{"NONE", `[]`, `"none"`},
		{"ONE", `[{"x":1,"y":2}]`, `{"x":1,"y":2}`},
		{"TWO", `[9007199254740993,"a,b"]`, `"9007199254740993a,b"`},
		{"THREE", `[1,"a",{"x":3}]`, `"1a3"`},
		{"RAW", `[{"any":[1,2,"\n"]}]`, `{"any":[1,2,"\n"]}`},
	} {
		a := run.ask(t, c.action, c.args)
		assert.True(t, a.OK, "%s%s: %+v", c.action, c.args, a.Error)
		assert.JSONEq(t, c.want, string(a.Result))
	}
	for _, c := range []struct{ action, args, field, problem string }{
		{"NONE", `[1]`, "args", "NONE takes 0 arguments, not 1"},
		{"ONE", `[]`, "arg0.x", "is missing"},
		{"ONE", `[{"x":"1"}]`, "arg0.x", `want integer, got string "1"`},
		{"ONE", `[{"x":1,"z":1}]`, "arg0.z", "is not a field of this action"},
		{"ONE", `[{"x":1.0}]`, "arg0.x", "want int, got number 1.0"},
		{"ONE", `[null]`, "arg0", "want object, got null"},
		{"TWO", `["1","a"]`, "arg0", `want integer, got string "1"`},
		{"TWO", `[1.5,"a"]`, "arg0", "want integer, got number 1.5"},
		{"TWO", `[1e30,"a"]`, "arg0", "want int64, got number 1e30"},
		{"TWO", `[1,null]`, "arg1", "want string, got null"},
		{"TWO", `[1]`, "arg1", "want string, got object"},
		{"TWO", `[1,"a",3]`, "args", "TWO takes 2 arguments, not 3"},
	} {
		a := run.ask(t, c.action, c.args)
		assert.EqualValues(t, "BAD_REQUEST", a.Error.Code, "%s%s", c.action, c.args)
		assert.Equal(t, 400, a.Error.Status)
		assert.Equal(t, c.field+": "+c.problem, a.Error.Message, "%s%s", c.action, c.args)
		assert.Equal(t, []any{map[string]any{"field": c.field, "problem": c.problem}}, a.Error.Details)
	}
	a := run.ask(t, "NO_SUCH", `[]`)
	assert.EqualValues(t, "NOT_SUPPORTED", a.Error.Code)
	assert.Equal(t, 501, a.Error.Status)
}

// panicking cannot be written as JSON.
type panicking struct{}

func (panicking) MarshalJSON() ([]byte, error) { panic("secret panic") } //nolint:forbidigo // it is what is tested

func TestErrorsOfHandlers(t *testing.T) {
	t.Parallel()
	s := things()
	fail := func(name string, err error) {
		workers.Handle0(s, name, func(context.Context) (string, error) { return "", err })
	}
	fail("OWN", workers.Fail("SOLD_OUT", 409, "sold out").WithDetails(map[string]int{"left": 0}).WithCause(errors.New("secret cause")))
	fail("WRAPPED", fmt.Errorf("while buying: %w", workers.Conflict("no")))
	fail("ODD_STATUS", workers.Fail("ODD", 200, "not an error status"))
	fail("PLAIN", errors.New("secret detail"))
	workers.Handle0(s, "PANIC", func(context.Context) (string, error) { panic("secret panic") }) //nolint:forbidigo // it is what is tested
	workers.Handle0(s, "PANICKING_RESULT", func(context.Context) (panicking, error) { return panicking{}, nil })
	fail("PANICKING_DETAILS", workers.Conflict("no").WithDetails(panicking{}))
	fail("BAD_DETAILS", workers.Conflict("no").WithDetails(func() {}))
	workers.Handle0(s, "EXITING", func(context.Context) (string, error) { runtime.Goexit(); return "", nil }, workers.Safe())
	workers.Handle0(s, "ENDLESS", func(context.Context) (any, error) { return json.RawMessage(`{broken`), nil })
	run := serve(t, s)
	for _, c := range []struct {
		action, code string
		status       int
	}{
		{"OWN", "SOLD_OUT", 409},
		{"WRAPPED", "CONFLICT", 409},
		{"ODD_STATUS", "ODD", 500},
		{"PLAIN", "INTERNAL", 500},
		{"PANIC", "INTERNAL", 500},
		{"ENDLESS", "INTERNAL", 500},
		{"PANICKING_RESULT", "INTERNAL", 500},
		{"PANICKING_DETAILS", "INTERNAL", 500},
		{"BAD_DETAILS", "CONFLICT", 409},
		{"EXITING", "INTERNAL", 500}, // a dead letter after the last attempt
		{"OWN", "SOLD_OUT", 409},     // the worker still runs
	} {
		a := run.ask(t, c.action, `[]`, func(a *caller.Call) { a.Meta = `{"request_id":"mine"}` })
		assert.EqualValues(t, c.code, a.Error.Code, c.action)
		assert.Equal(t, c.status, a.Error.Status, c.action)
		assert.Equal(t, c.status, a.meta.Status, c.action)
		assert.NotContains(t, a.Error.Message, "secret", c.action)
		assert.Equal(t, "things", a.Error.Service)
		assert.Equal(t, c.action, a.Error.Action)
		assert.Equal(t, "mine", a.Error.RequestID)
		assert.Len(t, a.Error.CorrelationID, 36)
	}
	for _, logged := range []string{"secret cause", "secret detail", "secret panic", "execute_test.go"} {
		assert.True(t, run.logs.Contains(logged), "the log tells %q", logged)
	}
}

func TestMiddlewareWrapsInOrder(t *testing.T) {
	t.Parallel()
	s := things()
	var mu sync.Mutex
	var calls []string
	note := func(call string) {
		mu.Lock()
		defer mu.Unlock()
		calls = append(calls, call)
	}
	wrap := func(name string) workers.Middleware {
		return func(next workers.Handler) workers.Handler {
			return func(ctx context.Context, args []json.RawMessage) (any, error) {
				note(name + " " + workers.InfoFrom(ctx).Action)
				result, err := next(ctx, args)
				note(name + " after")
				return result, err
			}
		}
	}
	s.Use(wrap("outer"), wrap("inner"))
	s.Use(func(next workers.Handler) workers.Handler {
		return func(ctx context.Context, args []json.RawMessage) (any, error) {
			if len(args) > 0 {
				return nil, workers.Fail("REFUSED", 403, "by middleware")
			}
			return next(ctx, args)
		}
	})
	workers.Handle1(s, "DO", func(context.Context, point) (int, error) { note("handler"); return 1, nil })
	workers.Handle0(s, "ZERO", func(context.Context) (int, error) { note("handler"); return 1, nil })
	run := serve(t, s)
	assert.EqualValues(t, "REFUSED", run.ask(t, "DO", `[{"x":1}]`).Error.Code)
	assert.True(t, run.ask(t, "ZERO", `[]`).OK)
	assert.Equal(t, []string{
		"outer DO", "inner DO", "inner after", "outer after",
		"outer ZERO", "inner ZERO", "handler", "inner after", "outer after",
	}, calls)
}

func TestNoOutcomeIsDeliveredAgain(t *testing.T) {
	t.Parallel()
	s := things()
	var mu sync.Mutex
	var ids []string
	workers.Handle0(s, "DO", func(ctx context.Context) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		ids = append(ids, workers.RequestID(ctx))
		if workers.Attempt(ctx) < 2 {
			return 0, workers.NoOutcome(errors.New("the database did not answer"))
		}
		workers.SetStatus(ctx, 201)
		workers.SetLocation(ctx, "/things/1")
		return 7, nil
	})
	run := serve(t, s)
	a := run.ask(t, "DO", `[]`)
	assert.JSONEq(t, `7`, string(a.Result))
	assert.Equal(t, 2, a.meta.Attempt)
	assert.Equal(t, 201, a.meta.Status)
	assert.Equal(t, "/things/1", a.meta.Location)
	require.Len(t, ids, 2)
	assert.Equal(t, ids[0], ids[1], "the same on each delivery")
}

func TestHandlersContextEndsAtTheDeadline(t *testing.T) {
	t.Parallel()
	s := things()
	workers.Handle0(s, "HANG", func(ctx context.Context) (int, error) {
		<-ctx.Done()
		return 0, ctx.Err()
	})
	run := serve(t, s)
	reply, err := run.client.Do(t.Context(), &caller.Call{Service: "things", Action: "HANG", Timeout: time.Second, Safe: true})
	if err != nil { // the caller's deadline passes at the same moment
		require.ErrorIs(t, err, caller.ErrTimeout)
	} else {
		require.Contains(t, reply.Envelope, string(wire.CodeTimeout))
	}
	run.logs.Wait(t, "a handler did not end in time")
}

func TestActionHasItsOwnLimit(t *testing.T) {
	t.Parallel()
	s := things()
	var now, most atomic.Int64
	release := make(chan struct{})
	workers.Handle0(s, "NARROW", func(context.Context) (int, error) {
		most.Store(max(most.Load(), now.Add(1)))
		defer now.Add(-1)
		<-release
		return 0, nil
	}, workers.Concurrency(1))
	workers.Handle0(s, "WIDE", func(context.Context) (int, error) { return 0, nil })
	run := serve(t, s)
	var asking sync.WaitGroup
	for range 5 {
		asking.Go(func() { assert.True(t, run.ask(t, "NARROW", `[]`).OK) })
	}
	assert.True(t, run.ask(t, "WIDE", `[]`).OK, "others go on")
	close(release)
	asking.Wait()
	assert.EqualValues(t, 1, most.Load())
}

func TestRequestThatNeverBeganExpires(t *testing.T) {
	t.Parallel()
	s := things()
	release := make(chan struct{})
	running := make(chan struct{}, 1)
	workers.Handle0(s, "NARROW", func(context.Context) (int, error) {
		running <- struct{}{}
		<-release
		return 0, nil
	}, workers.Concurrency(1))
	run := serve(t, s)
	var asking sync.WaitGroup
	asking.Go(func() { assert.True(t, run.ask(t, "NARROW", `[]`).OK) })
	<-running
	for range 3 {
		_, err := run.client.Do(t.Context(), &caller.Call{Service: "things", Action: "NARROW", Timeout: 50 * time.Millisecond})
		if !errors.Is(err, caller.ErrExpired) {
			require.ErrorIs(t, err, caller.ErrTimeout)
		}
	}
	testsupport.Eventually(t, 10*time.Second, "only the running one is left", func() bool {
		stats, err := admin.ReadStats(t.Context(), run.conn, "things")
		return err == nil && stats == admin.Stats{Pending: 1, Oldest: stats.Oldest}
	})
	close(release)
	asking.Wait()
}

func TestDrainingWorkerFinishesRequestsWithinTheLimit(t *testing.T) {
	t.Parallel()
	s := things()
	running, release := make(chan struct{}, 2), make(chan struct{})
	workers.Handle0(s, "SHORT", func(context.Context) (string, error) {
		running <- struct{}{}
		<-release
		return "finished", nil
	})
	workers.Handle0(s, "LONG", func(ctx context.Context) (string, error) {
		running <- struct{}{}
		<-ctx.Done()
		return "", ctx.Err()
	})
	run := serve(t, s, func(c *workers.Config) { c.DrainLimit = 200 * time.Millisecond })
	var asking sync.WaitGroup
	asking.Go(func() { assert.JSONEq(t, `"finished"`, string(run.ask(t, "SHORT", `[]`).Result)) })
	asking.Go(func() {
		_, err := run.client.Do(t.Context(), &caller.Call{Service: "things", Action: "LONG", Timeout: 2 * time.Second})
		assert.ErrorIs(t, err, caller.ErrTimeout)
	})
	<-running
	<-running
	run.stop()
	close(release)
	require.NoError(t, <-run.ended)
	stats, err := admin.ReadStats(t.Context(), run.conn, "things")
	require.NoError(t, err)
	assert.Positive(t, stats.Oldest)
	assert.Equal(t, admin.Stats{Pending: 1, Oldest: stats.Oldest}, stats, "what was cut short waits for another worker")
	asking.Wait()
}
