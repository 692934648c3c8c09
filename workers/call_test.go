package workers_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/admin"
	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/registry"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/busctx"
	"github.com/oskadev/mailroom/testsupport"
	"github.com/oskadev/mailroom/workers"
)

// town is two services, of which one calls the other, and a client that calls both.
type town struct {
	t      *testing.T
	client *caller.Client
	conn   *bus.Conn
	runs   atomic.Int64  // of the actions of items
	closed chan struct{} // closed: RING returns
}

// seen is the description of a request in a handler of items.
type seen struct {
	ID        int64    `json:"id"`
	Run       int64    `json:"run"`
	Subject   string   `json:"subject"`
	RequestID string   `json:"request_id"`
	Trace     string   `json:"trace"`
	Version   string   `json:"version"`
	Caller    string   `json:"caller"`
	Depth     int      `json:"depth"`
	Lanes     []string `json:"lanes"`
	Left      bool     `json:"left"`
}

func (w *town) see(ctx context.Context, id int64) (seen, error) {
	m := workers.MetaFrom(ctx)
	deadline, _ := ctx.Deadline()
	return seen{
		ID: id, Run: w.runs.Add(1), Subject: workers.PrincipalFrom(ctx).Subject, RequestID: m.RequestID, Trace: m.TraceParent,
		Version: m.Version, Caller: m.Caller, Depth: m.Depth, Lanes: m.Lanes, Left: time.Until(deadline) < 5*time.Second,
	}, nil
}

func newTown(t *testing.T) *town {
	t.Helper()
	w := &town{t: t, closed: make(chan struct{})}
	log, _ := testsupport.Logger(t)
	conn, err := bus.Connect(testsupport.Miniredis(t), bus.Options{Logger: log})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	w.conn = conn

	items := workers.NewService("items")
	workers.Handle1(items, "SEE", w.see, workers.Safe(), workers.Timeout(time.Minute))
	workers.Handle1(items, "CHANGE", w.see, workers.Lane("item:{0}"), workers.Invalidates("item:{0}"))
	workers.Handle1(items, "COUNT", func(ctx context.Context, _ int64) (int64, error) {
		n := w.runs.Add(1)
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
		}
		return n, nil
	}, workers.Safe(), workers.Cache(time.Minute, "item:{0}"), workers.Public())
	workers.Handle1(items, "ROUND", func(ctx context.Context, id int64) (json.RawMessage, error) {
		return workers.Call(ctx, "front", "TURN", id)
	}, workers.Safe(), workers.Cache(time.Minute))
	workers.Handle0(items, "FAIL", func(context.Context) (int, error) {
		return 0, workers.Fail("SOLD_OUT", http.StatusConflict, "none is left").WithDetails(map[string]int{"left": 0})
	})

	front := workers.NewService("front", workers.WithConcurrency(200))
	forward := func(action string, opts ...workers.ActionOption) {
		workers.Handle1(front, action, func(ctx context.Context, id int64) (json.RawMessage, error) {
			return workers.Call(ctx, "items", action, id)
		}, opts...)
	}
	forward("SEE", workers.Safe())
	forward("CHANGE", workers.Lane("front:{0}"))
	forward("COUNT", workers.Safe())
	forward("ROUND", workers.Safe())
	workers.Handle1(front, "TURN", w.see, workers.Lane("front:{0}"))
	workers.Handle1(front, "RING", func(ctx context.Context, id int64) (json.RawMessage, error) {
		<-w.closed
		return workers.Call(ctx, "items", "ROUND", id)
	}, workers.Lane("front:{0}"))
	forward("NO_SUCH_ACTION", workers.Safe())
	workers.Handle0(front, "FAIL", func(ctx context.Context) (int, error) { return workers.CallFor[int](ctx, "items", "FAIL") })
	workers.Handle0(front, "NOBODY", func(ctx context.Context) (int, error) { return workers.CallFor[int](ctx, "nobody", "GET") }, workers.Safe())
	workers.Handle0(front, "MISFIT", func(ctx context.Context) (int, error) { return workers.CallFor[int](ctx, "items", "SEE", 1) }, workers.Safe())
	workers.Handle1(front, "TWICE", func(ctx context.Context, id int64) ([]int64, error) {
		var runs []int64
		for range 2 {
			s, err := workers.CallFor[seen](ctx, "items", "CHANGE", id)
			if err != nil {
				return nil, err
			}
			runs = append(runs, s.Run)
		}
		if workers.Attempt(ctx) < 3 {
			return nil, workers.NoOutcome(errors.New("not yet"))
		}
		return runs, nil
	})
	workers.Handle1(front, "CIRCLE", func(ctx context.Context, id int64) (json.RawMessage, error) {
		return workers.Call(ctx, "front", "CIRCLE", id)
	}, workers.Lane("front:{0}"))
	workers.Handle0(front, "DEEPER", func(ctx context.Context) (json.RawMessage, error) {
		return workers.Call(ctx, "front", "DEEPER")
	}, workers.Safe())

	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() {
		assert.NoError(t, workers.Run(busctx.With(ctx, conn), workers.Config{Logger: log, IdleLimit: 300 * time.Millisecond}, items, front))
	})
	t.Cleanup(running.Wait)
	t.Cleanup(stop)
	w.client = caller.New(conn, caller.Config{})
	t.Cleanup(w.client.Close)
	registry := registry.New(conn, nil)
	testsupport.Eventually(t, 10*time.Second, "both serve", func() bool {
		found := registry.Snapshot()
		return registry.Look(t.Context()) == nil && found["items"] != nil && found["front"] != nil
	})
	return w
}

func (w *town) ask(action, args, lane string, safe bool) answer {
	w.t.Helper()
	reply, err := w.client.Do(w.t.Context(), &caller.Call{
		Service: "front", Action: action, Args: args, Safe: safe, Lane: lane, Timeout: 4 * time.Second,
		Meta:      `{"request_id":"checkout-7","traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","version":"v2"}`,
		Principal: &wire.Principal{Subject: "jwt:ada"},
	})
	require.NoError(w.t, err)
	var a answer
	require.NoError(w.t, json.Unmarshal([]byte(reply.Envelope), &a), reply.Envelope)
	return a
}

func TestCallInheritsFromTheRequest(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	want := seen{
		ID: 7, Run: 1, Subject: "jwt:ada", RequestID: "checkout-7", Trace: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		Version: "v2", Caller: "front", Depth: 1, Left: true,
	}
	got := func(a answer) seen {
		var s seen
		require.True(t, a.OK, "%+v", a.Error)
		require.NoError(t, json.Unmarshal(a.Result, &s))
		return s
	}
	assert.Equal(t, want, got(w.ask("SEE", `[7]`, "", true)))
	want.Run, want.Lanes = 2, []string{"front/front:7"}
	assert.Equal(t, want, got(w.ask("CHANGE", `[7]`, "front:7", false)))
}

func TestCallReturnsFailures(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	a := w.ask("FAIL", `[]`, "", false)
	assert.EqualValues(t, "SOLD_OUT", a.Error.Code)
	assert.Equal(t, http.StatusConflict, a.Error.Status)
	assert.Equal(t, "items", a.Error.Service, "whose failure it is")
	assert.Equal(t, "FAIL", a.Error.Action)
	assert.Equal(t, map[string]any{"left": 0.0}, a.Error.Details)
	assert.Equal(t, "checkout-7", a.Error.RequestID)
	for action, want := range map[string]string{"NOBODY": "UNAVAILABLE 503", "NO_SUCH_ACTION": "NOT_SUPPORTED 501", "MISFIT": "INTERNAL 500"} {
		args := map[string]string{"NO_SUCH_ACTION": `[1]`}[action]
		a := w.ask(action, args, "", true)
		assert.Equal(t, want, fmt.Sprintf("%s %d", a.Error.Code, a.Error.Status))
	}
	_, err := workers.Call(t.Context(), "items", "SEE", 1)
	require.ErrorContains(t, err, "not that of a handler")
	_, err = workers.Call(workers.NewContext(t.Context(), workers.Info{}), "items", "SEE", 1)
	require.ErrorContains(t, err, "not that of a handler")
}

// A call does not run twice when the request of its handler is delivered again.
func TestCallRunsOnceForEachRequest(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	a := w.ask("TWICE", `[7]`, "", false)
	assert.Equal(t, `[1,2]`, string(a.Result), "asked twice in a run it runs twice; in three runs no more often")
	assert.EqualValues(t, 2, w.runs.Load())
	a = w.ask("TWICE", `[7]`, "", false)
	assert.Equal(t, `[3,4]`, string(a.Result))
}

func TestCallRefusesCycles(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	a := w.ask("CIRCLE", `[7]`, "front:7", false)
	assert.EqualValues(t, "ASK_CYCLE", a.Error.Code)
	assert.Equal(t, http.StatusLoopDetected, a.Error.Status)
	assert.Contains(t, a.Error.Message, "front:7")
	a = w.ask("DEEPER", `[]`, "", true)
	assert.EqualValues(t, "ASK_TOO_DEEP", a.Error.Code)
	assert.Equal(t, http.StatusLoopDetected, a.Error.Status)
}

// A shared read does not hide a cycle from the callers that would wait forever, and
// does not report one to callers that would not.
func TestCallRefusesCyclesThroughSharedReads(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	said := func(action, lane string, safe bool) <-chan string {
		answered := make(chan string, 1)
		go func() {
			reply, err := w.client.Do(t.Context(), &caller.Call{Service: "front", Action: action, Args: `[7]`, Safe: safe, Lane: lane, Timeout: 4 * time.Second, Principal: &wire.Principal{}})
			answered <- fmt.Sprint(reply.Envelope, err)
		}()
		return answered
	}
	ring := said("RING", "front:7", false)
	waiting := func(parked int64) func() bool {
		return func() bool {
			stats, err := admin.ReadStats(t.Context(), w.conn, "front")
			return err == nil && stats.Pending > 0 && stats.Waiting == parked
		}
	}
	testsupport.Eventually(t, 10*time.Second, "the lane is held", waiting(0))
	round := said("ROUND", "", true)
	testsupport.Eventually(t, 10*time.Second, "the read waits for its turn", waiting(1))
	close(w.closed) // now each waits for the other
	assert.Contains(t, <-ring, `"code":"ASK_CYCLE"`)
	assert.Contains(t, <-round, `{"ok":true`)
}

// Equal calls share an answer until a call invalidates it.
func TestCallSharesAnswers(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	same := func(want string) {
		var asking sync.WaitGroup
		for range 50 {
			asking.Go(func() { assert.Equal(t, want, string(w.ask("COUNT", `[7]`, "", true).Result)) })
		}
		asking.Wait()
	}
	same("1")
	same("1")
	w.ask("CHANGE", `[7]`, "front:"+uuid.NewString(), false)
	same("3")
}
