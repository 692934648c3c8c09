package api_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/api"
	"github.com/oskadev/mailroom/testsupport"
	"github.com/oskadev/mailroom/workers"
)

func TestSocketCallsActions(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	p := s.openSocket()
	hello, _ := p.expect("hello")["hello"].(map[string]any)
	assert.InDelta(t, 1024, hello["inflight"], 0)
	assert.InDelta(t, 1<<20, hello["max"], 0)
	assert.NotContains(t, hello, "principal")

	assert.Equal(t, map[string]any{"id": 1.0, "ok": true, "result": map[string]any{"id": 7.0}},
		p.ask(`{"id":1,"service":"things","request":"GET_THING","args":[7]}`))
	created := p.ask(`{"id":"two","service":"things","request":"CREATE","args":[{"name":"Ö b","size":1}]}`)
	assert.Equal(t, "two", created["id"])
	assert.InDelta(t, 201, created["status"], 0)
	assert.Equal(t, "/things/%C3%96%20b", created["location"])
	assert.Contains(t, created["ticket"], "things.")
	failed := p.ask(`{"id":3,"service":"things","request":"FAIL","args":[{"code":"SOLD_OUT","status":409,"details":{"left":0}}]}`)
	assert.Equal(t, "SOLD_OUT", code(failed))
	assert.InDelta(t, 409, failed["status"], 0)
	late := p.ask(`{"id":4,"service":"things","request":"STALL"}`)
	assert.Equal(t, "TIMEOUT", code(late))
	assert.Contains(t, late["ticket"], "things.")
	p.send(`{"ping":1}`)
	p.expect("pong")
}

// Frames are checked as REST calls are, before anything reaches the mailbox.
func TestSocketChecksCalls(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	p := s.socket()
	for frame, want := range map[string]string{
		`"service":"things","request":"GET_THING","args":["x"]`:                  "BAD_REQUEST",
		`"service":"things","request":"GET_THING","args":[1.5]`:                  "BAD_REQUEST",
		`"service":"things","request":"GET_THING","args":[1e3]`:                  "BAD_REQUEST",
		`"service":"things","request":"GET_THING"`:                               "BAD_REQUEST",
		`"service":"things","request":"GET_THING","args":[1,2]`:                  "BAD_REQUEST",
		`"service":"things","request":"GET_THING","args":{"id":1}`:               "BAD_REQUEST",
		`"service":"things","request":"CREATE","args":[{"name":1,"size":1}]`:     "BAD_REQUEST",
		`"service":"things","request":"CREATE","args":[{"size":1,"size":2}]`:     "BAD_REQUEST",
		`"service":"things","request":"CREATE","args":[{"name":"a","sze":1}]`:    "BAD_REQUEST",
		`"service":"things","request":"CREATE","args":[{"name":"a","size":1.5}]`: "BAD_REQUEST",
		`"service":"things","request":"CREATE"`:                                  "BAD_REQUEST",
		`"service":"things","request":"NONE"`:                                    "NOT_SUPPORTED",
		`"service":"nothing","request":"NONE"`:                                   "NOT_FOUND",
		`"service":"things","request":"COUNT","version":"v9"`:                    "NOT_FOUND",
		`"service":"things","request":"TOUCH","args":[1],"key":"a b"`:            "BAD_REQUEST",
	} {
		assert.Equal(t, want, code(p.ask(`{"id":1,`+frame+`}`)), frame)
	}
	s.untouched()
}

func TestActionsWithoutARouteCannotBeCalledFromOutside(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	inner := workers.NewService("inner")
	workers.Handle0(inner, "SECRET", func(context.Context) (string, error) { return "secret", nil })
	workers.Handle0(inner, "COUNT", func(context.Context) (int, error) { return 1, nil }, workers.Route("GET /inner"), workers.Cache(time.Minute))
	s.work(inner)
	s.awaitRoute("/inner")
	p := s.socket()
	assert.Equal(t, "NOT_SUPPORTED", code(p.ask(`{"id":1,"service":"inner","request":"SECRET"}`)))
	assert.Equal(t, "NOT_SUPPORTED", code(p.ask(`{"id":1,"service":"inner","request":"INVALIDATE","args":["a"]}`)))
}

// The same key runs once, also over another socket and over HTTP.
func TestSocketKeysRunOnce(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	const frame = `{"id":1,"service":"things","request":"TOUCH","args":[7],"key":"k1"}`
	first := s.socket().ask(frame)
	second := s.socket().ask(frame)
	assert.Equal(t, first["ticket"], second["ticket"])
	a := s.do(http.MethodPost, "/things/7/touch", "", "Idempotency-Key: k1")
	assert.Equal(t, "true", a.header.Get("Idempotency-Replayed"))
	assert.EqualValues(t, 1, s.runs.Load())
	assert.Equal(t, "IDEMPOTENCY_KEY_REUSED", code(s.socket().ask(strings.Replace(frame, "[7]", "[8]", 1))))
}

// A socket and a REST call have the same cache entry, also without a query.
func TestSocketSharesTheCache(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	cached := workers.NewService("cached")
	runs := 0
	workers.Handle2(cached, "GET", func(_ context.Context, id string, f filter) (int, error) {
		runs++
		return runs, nil
	}, workers.Route("GET /cached/:id"), workers.Cache(time.Minute))
	s.work(cached)
	s.awaitRoute("/cached/ready")
	first := s.do(http.MethodGet, "/cached/%C3%B6", "")
	for _, args := range []string{`["ö"]`, `["\u00f6"]`, `["ö",{}]`, ` [ "ö" , { } ] `} {
		a := s.socket().ask(`{"id":1,"service":"cached","request":"GET","args":` + args + `}`)
		assert.Equal(t, string(first.Result), fmt.Sprint(a["result"]), args)
	}
}

func TestSocketVersions(t *testing.T) {
	t.Parallel()
	s := newShop(t, testsupport.Miniredis(t))
	p := s.socket()
	const pay = `"service":"payments","request":"PAY","args":[{"user_id":1,"item_id":1,"gateway":"C","amount":5}]`
	assert.Equal(t, "NOT_SUPPORTED", code(p.ask(`{"id":1,`+pay+`,"version":"v1"}`)))
	paid := p.ask(`{"id":1,` + pay + `,"version":"v2"}`)
	assert.InDelta(t, 201, paid["status"], 0, paid)
	assert.Contains(t, paid["location"], "/payments/")
	assert.Equal(t, true, p.ask(`{"id":1,"service":"users","request":"GET_USER","args":[1],"version":"v2"}`)["ok"], "it falls through")
}

func TestSocketAnswersInAnyOrder(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	entered, release := s.hold()
	p := s.socket()
	p.send(`{"id":1,"service":"slow","request":"HOLD"}`)
	<-entered
	for id := 2; id < 1000; id++ {
		p.send(fmt.Sprintf(`{"id":%d,"service":"slow","request":"READY"}`, id))
	}
	seen := make(map[any]bool)
	for id := 2; id < 1000; id++ {
		seen[p.expect("result")["id"]] = true
	}
	assert.Len(t, seen, 998)
	close(release)
	assert.InDelta(t, 1, p.expect("result")["id"], 0)
}

func TestSocketLimitsRequestsInFlight(t *testing.T) {
	t.Parallel()
	s := newStage(t, func(c *api.Config) { c.SocketInFlight = 2 })
	entered, release := s.hold()
	defer close(release)
	p := s.socket()
	hold := func(id int) { p.send(fmt.Sprintf(`{"id":%d,"service":"slow","request":"HOLD"}`, id)) }
	hold(1)
	hold(2)
	<-entered
	<-entered
	hold(3)
	refused := p.expect("error")
	assert.Equal(t, "OVERLOADED", code(refused))
	assert.InDelta(t, 3, refused["id"], 0)
	assert.InDelta(t, 1000, refused["retry_after"], 0)
	hold(1)
	p.closed("invalid", 4400) // the id is in use
}

func TestSocketCancelsRequests(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	entered, release := s.hold()
	p := s.socket()
	// A queued request: its service has no worker that reads it.
	idle := workers.NewService("idle", workers.WithConcurrency(1))
	began, proceed := make(chan struct{}, 10), make(chan struct{})
	workers.Handle0(idle, "WORK", func(context.Context) (string, error) {
		began <- struct{}{}
		<-proceed
		return "worked", nil
	}, workers.Route("POST /idle"), workers.Timeout(time.Minute))
	workers.Handle0(idle, "READ", func(context.Context) (string, error) {
		began <- struct{}{}
		<-proceed
		return "read", nil
	}, workers.Route("GET /idle"), workers.Timeout(time.Minute))
	s.work(idle)
	testsupport.Eventually(t, patience, "it is served", func() bool {
		return s.do(http.MethodOptions, "/idle", "").status == http.StatusNoContent
	})
	p.send(`{"id":1,"service":"idle","request":"WORK"}`)
	<-began
	p.send(`{"id":2,"service":"idle","request":"WORK"}`)
	testsupport.Eventually(t, patience, "it is queued", func() bool {
		n, err := s.conn.Redis().XLen(s.ctx, s.conn.Keys.Requests("idle")).Result()
		return err == nil && n == 2
	})
	p.send(`{"id":2,"cancel":true}`)
	cancelled := p.expect("error")
	assert.InDelta(t, 2, cancelled["id"], 0)
	assert.Equal(t, "CONFLICT", code(cancelled))
	assert.Equal(t, map[string]any{"state": "cancelled"}, cancelled["error"].(map[string]any)["details"])

	p.send(`{"id":3,"service":"idle","request":"READ"}`) // a safe one ends at once
	p.send(`{"id":3,"cancel":true}`)
	cancelled = p.expect("error")
	assert.InDelta(t, 3, cancelled["id"], 0)

	p.send(`{"id":1,"cancel":true}`) // a running one has its outcome
	p.send(`{"id":99,"cancel":true}`)
	close(proceed)
	assert.Equal(t, map[string]any{"id": 1.0, "ok": true, "result": "worked"}, without(p.expect("ok"), "ticket"))
	close(release)
	_ = entered
}

// without returns a frame without a member.
func without(frame map[string]any, member string) map[string]any {
	delete(frame, member)
	return frame
}

func TestSocketAnswersAsync(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	p := s.socket()
	a := p.ask(`{"id":1,"service":"things","request":"TOUCH","args":[7],"async":true}`)
	assert.InDelta(t, 202, a["status"], 0)
	ticket, _ := a["ticket"].(string)
	require.NotEmpty(t, ticket)
	testsupport.Eventually(t, patience, "it has its outcome", func() bool {
		return strings.Contains(s.do(http.MethodGet, "/requests/"+ticket, "").body, `"state":"done"`)
	})
}

func TestSocketReportsProgressAndStopsHandlers(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	long := workers.NewService("long")
	stopped, proceed := make(chan error, 1), make(chan struct{}, 1)
	workers.Handle0(long, "WORK", func(ctx context.Context) (string, error) {
		for {
			if err := workers.Progress(ctx, map[string]int{"done": 1}); err != nil {
				return "", err
			}
			select {
			case <-ctx.Done():
				stopped <- context.Cause(ctx)
				<-proceed
				return "", ctx.Err()
			case <-time.After(10 * time.Millisecond):
			}
		}
	}, workers.Route("POST /long"), workers.Timeout(time.Minute))
	workers.Handle0(long, "READY", func(context.Context) (int, error) { return 1, nil }, workers.Route("GET /long"))
	s.work(long)
	s.awaitRoute("/long")
	p := s.socket()
	p.send(`{"id":1,"service":"long","request":"WORK","progress":true}`)
	for range 2 {
		assert.Equal(t, map[string]any{"id": 1.0, "progress": map[string]any{"done": 1.0}}, p.expect("progress"))
	}
	p.send(`{"id":1,"cancel":true}`)
	proceed <- struct{}{}
	var answer map[string]any
	for answer = p.expect("id"); answer["progress"] != nil; answer = p.expect("id") {
	}
	assert.Equal(t, "CONFLICT", code(answer))
	require.ErrorContains(t, <-stopped, "cancelled")

	// The same over HTTP.
	accepted := s.do(http.MethodPost, "/long", "", "Prefer: respond-async")
	at := accepted.header.Get("Location")
	testsupport.Eventually(t, patience, "its state has progress", func() bool {
		return strings.Contains(s.do(http.MethodGet, at, "").body, `"progress":{"done":1}`)
	})
	events, err := s.client.Do(s.request(http.MethodGet, at+"/events", ""))
	require.NoError(t, err)
	defer func() { _ = events.Body.Close() }()
	lines := bufio.NewScanner(events.Body)
	for lines.Scan() && lines.Text() != "event: progress" {
	}
	require.True(t, lines.Scan())
	assert.JSONEq(t, `{"done":1}`, strings.TrimPrefix(lines.Text(), "data: "))
	a := s.do(http.MethodDelete, at, "")
	assert.Equal(t, http.StatusAccepted, a.status, a.body)
	assert.Contains(t, a.body, `"state":"cancelling"`)
	proceed <- struct{}{}
	for lines.Scan() && !strings.Contains(lines.Text(), `"state":"cancelled"`) {
	}
	assert.Contains(t, lines.Text(), `"state":"cancelled"`)
	assert.Equal(t, http.StatusOK, s.do(http.MethodDelete, at, "").status, "it is cancelled")
}

// An ID is free as soon as its request is answered.
func TestSocketIDsAreUsedAgain(t *testing.T) {
	t.Parallel()
	s := startGateway(t, testsupport.Miniredis(t), "")
	s.work(tagged())
	s.awaitRoute("/tagged/1")
	p := s.socket()
	for range 500 {
		require.Equal(t, true, p.ask(`{"id":1,"service":"tagged","request":"TOUCH","args":[1]}`)["ok"])
	}
}

// Unanswered requests take a bounded amount of memory.
func TestSocketLimitsArgumentsInFlight(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	big := workers.NewService("big")
	release := make(chan struct{})
	workers.Handle1(big, "HOLD", func(context.Context, map[string]string) (string, error) {
		<-release
		return "held", nil
	}, workers.Route("POST /big"), workers.Timeout(time.Minute))
	workers.Handle0(big, "READY", func(context.Context) (int, error) { return 1, nil }, workers.Route("GET /big"))
	s.work(big)
	s.awaitRoute("/big")
	p := s.socket()
	for id := range 20 {
		p.send(fmt.Sprintf(`{"id":%d,"service":"big","request":"HOLD","args":[{"text":"%s"}]}`, id, strings.Repeat("x", 1_000_000)))
	}
	for range 4 { // 16 of a million bytes fit
		assert.Equal(t, "OVERLOADED", code(p.expect("error")))
	}
	close(release)
	for range 16 {
		assert.Equal(t, "held", p.expect("ok")["result"])
	}
}
