package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus/consumer"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/testsupport"
	"github.com/oskadev/mailroom/workers"
)

// oddAnswer is what an odd worker answers.
type oddAnswer struct {
	envelope []byte
	meta     wire.ReplyMeta
}

// odd starts a worker that does not use package workers, such as one in another language.
// It serves GET /odd/:number with any reply.
func (s *stage) odd(answers []oddAnswer) {
	s.t.Helper()
	consumer, err := consumer.New(s.connect(s.url), consumer.Config{
		Manifest: &wire.Manifest{Service: "odd", Version: "1", Protocol: 1, Actions: []wire.Action{
			{Name: "GET_ODD", Safe: true, Routes: []string{"GET /odd/:number"}, Args: []wire.Argument{
				{Name: "number", In: wire.InPath, Schema: json.RawMessage(`{"type":"integer"}`)},
			}},
			{Name: "LOST", Routes: []string{
				"FETCH /odd/method", "GET /elsewhere", "GET /odd//empty", "GET /odd/:a/:b/:c", "odd", "",
			}},
			{Name: "AGAIN", Routes: []string{"GET /odd/:other"}, Args: []wire.Argument{{Name: "other", In: wire.InPath}}},
			{Name: "BROKEN", Routes: []string{"GET /odd/broken/:x"}, Args: []wire.Argument{
				{Name: "x", In: wire.InPath, Schema: json.RawMessage(`{"type":17}`)},
			}},
			{Name: "BRACES", Routes: []string{"GET /odd/braces/{x}"}, Args: []wire.Argument{{Name: "x", In: wire.InPath}}},
		}},
		Run: func(_ context.Context, d *consumer.Delivery) consumer.Outcome {
			var args []int
			if err := json.Unmarshal([]byte(d.Request.Args), &args); err != nil || len(args) != 1 {
				return consumer.Done(wire.ReplyMeta{}, wire.Failure(&wire.Error{Code: "ARGS", Status: 500, Message: d.Request.Args}), 0)
			}
			return consumer.Done(answers[args[0]].meta, answers[args[0]].envelope, 0)
		},
	})
	require.NoError(s.t, err)
	ctx, cancel := context.WithCancel(s.ctx)
	ended := make(chan error, 1)
	go func() { ended <- consumer.Run(ctx) }()
	s.t.Cleanup(func() {
		cancel()
		assert.NoError(s.t, <-ended)
	})
	s.awaitRoute("/odd/0")
}

func TestAnswersOfForeignWorkers(t *testing.T) {
	t.Parallel()
	s := startGateway(t, testsupport.Miniredis(t), "")
	ok := wire.Success([]byte(`1`))
	failed := func(status int) []byte {
		return wire.Failure(&wire.Error{Code: "ODD", Status: status, Message: "odd"})
	}
	cases := []struct {
		answer   oddAnswer
		status   int
		location string
	}{
		{oddAnswer{envelope: ok}, 200, ""},
		{oddAnswer{ok, wire.ReplyMeta{Status: 202, Location: "/odd/7?a=b%20c"}}, 202, "/odd/7?a=b%20c"},
		{oddAnswer{ok, wire.ReplyMeta{Status: 204}}, 200, ""},
		{oddAnswer{ok, wire.ReplyMeta{Status: 302, Location: "/x\r\nSet-Cookie: a=b"}}, 200, "/x%0D%0ASet-Cookie:%20a=b"},
		{oddAnswer{ok, wire.ReplyMeta{Status: 500}}, 200, ""},
		{oddAnswer{ok, wire.ReplyMeta{Status: -1, Location: "/ä"}}, 200, "/%C3%A4"},
		{oddAnswer{envelope: failed(404)}, 404, ""},
		{oddAnswer{failed(404), wire.ReplyMeta{Status: 409}}, 409, ""},
		{oddAnswer{failed(404), wire.ReplyMeta{Status: 200}}, 500, ""},
		{oddAnswer{envelope: failed(200)}, 500, ""},
		{oddAnswer{envelope: failed(0)}, 500, ""},
		{oddAnswer{envelope: failed(1000)}, 500, ""},
		{oddAnswer{envelope: []byte(`{ "result" : 1, "ok" : true }`)}, 200, ""},
		{oddAnswer{[]byte(`{"ok": true, "result": 1}`), wire.ReplyMeta{Status: 200}}, 200, ""},
		{oddAnswer{[]byte(`{"ok": false, "error": {"status": 409}}`), wire.ReplyMeta{Status: 200}}, 500, ""},
	}
	answers := make([]oddAnswer, len(cases))
	for i, c := range cases {
		answers[i] = c.answer
	}
	s.odd(answers)
	for i, c := range cases {
		a, err := s.send(s.request(http.MethodGet, "/odd/"+string(number(i)), ""))
		require.NoError(t, err)
		assert.Equal(t, c.status, a.status, "%d: %s", i, a.body)
		assert.Equal(t, c.location, a.header.Get("Location"), i)
		assert.Empty(t, a.header.Get("Set-Cookie"))
		assert.Equal(t, string(c.answer.envelope), a.body, "it is passed on as it is")
	}
	for i, broken := range []string{`{}`, `17`, `{"ok":tru`, `hello world`} {
		answers[i] = oddAnswer{envelope: []byte(broken)}
	}
	for i := range 4 {
		s.refused(500, "INTERNAL", http.MethodGet, "/odd/"+string(number(i)), "")
	}
	// A route that cannot be served affects no other route.
	for _, lost := range []string{"FETCH /odd/method", "GET /elsewhere", "GET /odd//empty", "GET /odd/:a/:b/:c", "GET /odd/:other", "GET /odd/broken/:x", "GET /odd/braces/{x}"} {
		assert.Contains(t, s.logs.Wait(t, `route="`+lost+`"`), "left out a route")
	}
	s.refused(404, "NOT_FOUND", http.MethodGet, "/elsewhere", "")
}

func number(i int) []byte {
	text, _ := json.Marshal(i)
	return text
}

func TestDeadRequestsHaveALocation(t *testing.T) {
	t.Parallel()
	s := startGateway(t, testsupport.StartRedis(t).URL(), "")
	doomed := workers.NewService("doomed")
	workers.Handle0(doomed, "ALIVE", func(context.Context) (bool, error) { return true, nil }, workers.Route("GET /doomed"))
	workers.Handle0(doomed, "NEVER", func(context.Context) (string, error) {
		return "", workers.NoOutcome(errors.New("the database is away"))
	}, workers.Route("POST /doomed"), workers.Timeout(patience))
	s.work(doomed)
	s.awaitRoute("/doomed")
	a := s.refused(500, "INTERNAL", http.MethodPost, "/doomed", "")
	assert.JSONEq(t, `{"state":"dead"}`, string(a.Error.Details))
	assert.True(t, strings.HasPrefix(a.header.Get("Location"), "/requests/doomed."), a.header)
}

// During a rolling update some builds lack a route. Any worker may read its requests, so no
// gateway serves it, but it is not unknown either.
func TestRouteThatSomeBuildsLackIsUnavailable(t *testing.T) {
	t.Parallel()
	s := startGateway(t, testsupport.Miniredis(t), "")
	build := func(more bool) *workers.Service {
		split := workers.NewService("split")
		workers.Handle1(split, "GET_PART", func(_ context.Context, id string) (string, error) { return id, nil }, workers.Route("GET /split/:id"))
		if more {
			handle := func(context.Context) (int, error) { return 1, nil }
			workers.Handle0(split, "COUNT_PARTS", handle, workers.Route("GET /split/count"))
			workers.Handle0(split, "CLEAR", handle, workers.Route("POST /split/clear"))
		}
		return split
	}
	stopOne := s.work(build(true))
	s.awaitRoute("/split/count")
	stopOther := s.work(build(false))
	testsupport.Eventually(t, patience, "both builds are known", func() bool {
		return s.do(http.MethodPost, "/split/clear", "").status == http.StatusServiceUnavailable
	})
	a := s.refused(503, "UNAVAILABLE", http.MethodPost, "/split/clear", "")
	assert.Equal(t, "some live builds of split do not serve POST /split/clear", a.Error.Message)
	assert.Equal(t, "1", a.header.Get("Retry-After"))
	s.refused(503, "UNAVAILABLE", http.MethodGet, "/split/count", "")
	s.logs.Wait(t, `route="GET /split/count"`)
	s.got(`"1"`, http.MethodGet, "/split/1", "")

	// Both die: their heartbeats expire.
	heartbeats := s.conn.Keys.Workers("split")
	builds, err := s.conn.Redis().ZRange(s.ctx, heartbeats, 0, -1).Result()
	require.NoError(t, err)
	require.Len(t, builds, 2)
	stopOne()
	stopOther()
	for _, one := range builds {
		require.NoError(t, s.conn.Redis().ZAdd(s.ctx, heartbeats, redis.Z{Score: 1, Member: one}).Err())
	}
	testsupport.Eventually(t, patience, "the gateway knows that no worker is running", func() bool {
		return strings.Contains(s.do(http.MethodPost, "/split/clear", "").body, "no worker of split is running")
	})
	s.refused(503, "UNAVAILABLE", http.MethodPost, "/split/clear", "")
}

// During a rolling update two builds may declare other arguments. Half of the requests would
// be refused by the worker that reads them.
func TestRequestsFitAllLiveBuilds(t *testing.T) {
	t.Parallel()
	s := startGateway(t, testsupport.Miniredis(t), "")
	type text struct {
		Text string `json:"text"`
	}
	type sizedText struct {
		text
		Size int `json:"size,omitempty"`
	}
	older, newer := workers.NewService("split"), workers.NewService("split")
	workers.Handle2(older, "KEEP", func(_ context.Context, _ int64, in text) (string, error) { return in.Text, nil }, workers.Route("PUT /split/:id"))
	workers.Handle2(newer, "KEEP", func(_ context.Context, _ int64, in sizedText) (string, error) { return in.Text, nil }, workers.Route("PUT /split/:id"))
	workers.Handle1(older, "GET_PART", func(_ context.Context, id int64) (int64, error) { return id, nil }, workers.Route("GET /split/:id"))
	workers.Handle1(newer, "GET_PART", func(_ context.Context, id string) (string, error) { return id, nil }, workers.Route("GET /split/:id"))
	workers.Handle1(older, "MOVE", func(_ context.Context, id int64) (int64, error) { return id, nil }, workers.Route("POST /split/:id/move"))
	workers.Handle2(newer, "MOVE", func(_ context.Context, id, _ int64) (int64, error) { return id, nil }, workers.Route("POST /split/:id/move"))
	s.work(older)
	s.awaitRoute("/split/1")
	s.work(newer)
	testsupport.Eventually(t, patience, "both builds are known", func() bool {
		return s.do(http.MethodGet, "/split/1", "").status == http.StatusServiceUnavailable
	})
	a := s.refused(503, "UNAVAILABLE", http.MethodGet, "/split/1", "")
	assert.Equal(t, "the live builds of split disagree about the arguments of GET /split/:id", a.Error.Message)
	s.refused(400, "BAD_REQUEST", http.MethodGet, "/split/one", "")
	for range 10 {
		s.got(`"a"`, http.MethodPut, "/split/1", `{"text":"a"}`)
		s.refused(400, "BAD_REQUEST", http.MethodPut, "/split/1", `{"text":"a","size":1}`)
		s.refused(400, "BAD_REQUEST", http.MethodPost, "/split/1/move", "")
		s.refused(400, "BAD_REQUEST", http.MethodPost, "/split/1/move", "5")
	}
}
