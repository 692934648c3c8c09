package api_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/api"
	"github.com/oskadev/mailroom/testsupport"
	"github.com/oskadev/mailroom/workers"
)

// page returns a page of the operator.
func (s *stage) page(path string) *http.Response {
	s.t.Helper()
	r := httptest.NewRequestWithContext(s.ctx, http.MethodGet, path, nil)
	w := httptest.NewRecorder()
	s.server.Ops().ServeHTTP(w, r)
	return w.Result()
}

// metrics returns the text of /metrics.
func (s *stage) metrics() string {
	s.t.Helper()
	text, err := io.ReadAll(s.page("/metrics").Body) //nolint:bodyclose // it is in memory
	require.NoError(s.t, err)
	return string(text)
}

// metric returns the value of one series; 0: there is none.
func (s *stage) metric(series string) float64 {
	s.t.Helper()
	for line := range strings.Lines(s.metrics()) {
		if value, found := strings.CutPrefix(line, series+" "); found {
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			require.NoError(s.t, err)
			return n
		}
	}
	return 0
}

func TestMetricsOfRequests(t *testing.T) {
	t.Parallel()
	s := newShop(t, testsupport.Miniredis(t))
	const requests = "mailroom_requests_total"
	before := s.metric(requests + `{action="GET_USER",code="200",service="users"}`)
	for range 3 {
		require.Equal(t, http.StatusOK, s.do(http.MethodGet, "/users/1", "").status)
	}
	assert.InDelta(t, before+3, s.metric(requests+`{action="GET_USER",code="200",service="users"}`), 0)
	answers := 0.0
	for _, kind := range []string{"led", "shared", "near"} {
		answers += s.metric(`mailroom_cache_answers_total{action="GET_USER",kind="` + kind + `",service="users"}`)
	}
	assert.InDelta(t, before+3, answers, 0)

	require.Equal(t, http.StatusCreated, s.do(http.MethodPost, "/users", `{"name":"Ada","email":"ada@example.com"}`).status)
	for _, phase := range []string{"queue", "run", "reply", "total"} {
		assert.InDelta(t, 1, s.metric(`mailroom_request_duration_seconds_count{action="CREATE_USER",phase="`+phase+`",service="users"}`), 0, phase)
	}

	require.Equal(t, http.StatusBadRequest, s.do(http.MethodGet, "/users/x", "").status)
	assert.InDelta(t, 1, s.metric(requests+`{action="GET_USER",code="400",service="users"}`), 0)
	assert.InDelta(t, 1, s.metric(`mailroom_refused_total{reason="bad_request",service="users"}`), 0)
	missing := s.metric(requests + `{action="",code="404",service=""}`)
	require.Equal(t, http.StatusNotFound, s.do(http.MethodGet, "/nothing/"+strings.Repeat("x", 50), "").status)
	assert.InDelta(t, missing+1, s.metric(requests+`{action="",code="404",service=""}`), 0)
	assert.NotContains(t, s.metrics(), "xxxx", "a path is no label value")

	require.Equal(t, http.StatusForbidden, s.do(http.MethodPost, "/v2/payments", `{"user_id":2,"item_id":1,"gateway":"A","amount":5}`).status)
	assert.InDelta(t, 1, s.metric(requests+`{action="POST /v2/payments",code="403",service="compositions"}`), 0)
	assert.InDelta(t, 1, s.metric(`mailroom_steps_total{action="CHECK_PURCHASABLE",code="403",composition="POST /v2/payments",service="users",step="user"}`), 0)
}

func TestMetricsOfTheState(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	assert.InDelta(t, 1, s.metric("mailroom_redis_up"), 0)
	assert.InDelta(t, 1, s.metric(`mailroom_workers{service="things"}`), 0)
	assert.InDelta(t, 0, s.metric(`mailroom_backlog{service="things"}`), 0)
	// An answer is published before its entry is removed.
	testsupport.Eventually(t, patience, "nothing is left", func() bool { return s.metric(`mailroom_oldest_seconds{service="things"}`) == 0 })
	assert.InDelta(t, 0, s.metric(`mailroom_in_flight{service="things"}`), 0)
	assert.InDelta(t, 0, s.metric(`mailroom_sockets{kind="client"}`), 0)
	testsupport.Eventually(t, patience, "a ping comes back", func() bool { return s.metric("mailroom_redis_pongs_total") >= 1 })
	assert.InDelta(t, 1, s.metric("mailroom_redis_subscriptions_total"), 0)
	assert.Positive(t, s.metric("mailroom_redis_round_trip_seconds"))
	assert.Contains(t, s.metrics(), "mailroom_build_info{")
}

// The checks of promtool check metrics.
func TestMetricsFollowTheConventions(t *testing.T) {
	t.Parallel()
	s := newShop(t, testsupport.Miniredis(t))
	s.do(http.MethodPost, "/v2/payments", `{"user_id":2,"item_id":1,"gateway":"A","amount":5}`)
	s.do(http.MethodPost, "/v1/payments", `{"user_id":1}`)
	problems, err := promlint.New(strings.NewReader(s.metrics())).Lint()
	require.NoError(t, err)
	assert.Empty(t, problems)
}

// A gateway serves the pages of its operator to clients only where it is told to.
func TestPagesOfTheOperatorOnTheGateway(t *testing.T) {
	t.Parallel()
	apart := newStage(t)
	assert.Equal(t, http.StatusNotFound, apart.do(http.MethodGet, "/metrics", "").status)
	own := newStage(t, func(c *api.Config) { c.OwnOps = true })
	response, err := own.client.Do(own.request(http.MethodGet, "/metrics", ""))
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	assert.Contains(t, string(text), "mailroom_redis_up 1")
}

func TestProbesOfTheOperator(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	assert.Equal(t, http.StatusOK, s.page("/readyz").StatusCode)  //nolint:bodyclose // it is in memory
	assert.Equal(t, http.StatusOK, s.page("/healthz").StatusCode) //nolint:bodyclose // it is in memory
	require.NoError(t, s.stop())
	assert.Equal(t, http.StatusServiceUnavailable, s.page("/readyz").StatusCode) //nolint:bodyclose // it is in memory
	assert.Equal(t, http.StatusOK, s.page("/healthz").StatusCode)                //nolint:bodyclose // it is in memory
}

// A worker counts what it runs, and serves it where its config says.
func TestMetricsOfAWorker(t *testing.T) {
	t.Parallel()
	s := startGateway(t, testsupport.Miniredis(t), "")
	service := workers.NewService("counted")
	workers.Handle0(service, "GET_IT", func(context.Context) (string, error) { return "it", nil }, workers.Route("GET /counted"))
	workers.Handle0(service, "FAIL", func(context.Context) (string, error) { return "", workers.NotFound("nothing") }, workers.Route("GET /counted/fail"))
	address := testsupport.FreeAddr(t)
	s.workWith(workers.Config{OpsListen: address}, service)
	s.awaitRoute("/counted")
	require.Equal(t, http.StatusNotFound, s.do(http.MethodGet, "/counted/fail", "").status)
	request, err := http.NewRequestWithContext(s.ctx, http.MethodGet, "http://"+address+"/metrics", nil)
	require.NoError(t, err)
	response, err := s.client.Do(request)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	assert.Contains(t, string(text), `mailroom_worker_requests_total{action="FAIL",code="404",service="counted"} 1`)
	assert.Regexp(t, `mailroom_worker_run_duration_seconds_count{action="GET_IT",service="counted"} [1-9]`, string(text))
	problems, err := promlint.New(strings.NewReader(string(text))).Lint()
	require.NoError(t, err)
	assert.Empty(t, problems)
}
