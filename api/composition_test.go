package api_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/api"
	"github.com/oskadev/mailroom/bus/admin"
	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/testsupport"
	"github.com/oskadev/mailroom/versions"
	"github.com/oskadev/mailroom/workers"
)

// One of two concurrent steps may have had its effect when the other cannot be called. The
// failure is then not the answer, whichever step began first.
func TestTogetherWaitsOnceAStepMayHaveHadAnEffect(t *testing.T) {
	t.Parallel()
	s := startGateway(t, testsupport.Miniredis(t), "", func(c *api.Config) {
		c.Versions = []byte(`versions: {v1: {routes: {"POST /both/:id": {path: {id: {type: integer}}, timeout: 20s, steps: [
  {together: [{name: noted, call: notes NOTE, args: [path.id]}, {name: made, call: parts MAKE, args: [path.id, '{"currency": "EUR"}']}]}]}}}}`)
	})
	var p parts
	stop := s.work(notes())
	s.work(p.service())
	s.awaitRoute("/parts/1")
	s.awaitRoute("/notes/ready")
	stop()
	s.awaitNoWorker("/notes/ready")
	const calls = 8
	var sending sync.WaitGroup
	for i := range calls {
		sending.Go(func() {
			got, err := s.send(s.request(http.MethodPost, fmt.Sprintf("/v1/both/%d", i), ""))
			if assert.NoError(t, err) {
				assert.Equal(t, http.StatusCreated, got.status, got.body)
			}
		})
	}
	testsupport.Eventually(t, patience, "all parts are made", func() bool { return p.made.Load() == calls })
	s.work(notes())
	sending.Wait()
	assert.EqualValues(t, calls, p.made.Load())
}

// A composition that could not begin leaves its key free, and one without a deadline waits.
func TestCompositionThatCouldNotBegin(t *testing.T) {
	t.Parallel()
	s := startGateway(t, testsupport.Miniredis(t), "", func(c *api.Config) { c.Versions = []byte(steps) })
	const key = "Idempotency-Key: mine"
	got := s.do(http.MethodPost, "/v1/things/7", "", key)
	require.Equal(t, http.StatusServiceUnavailable, got.status, got.body)
	accepted := s.do(http.MethodPost, "/v1/things/8", "", "Prefer: respond-async")
	require.Equal(t, http.StatusAccepted, accepted.status, accepted.body)
	var p parts
	s.work(p.service(), notes())
	testsupport.Eventually(t, patience, "the same key is tried again", func() bool {
		response, err := s.client.Do(s.request(http.MethodPost, "/v1/things/7", "", key)) // 503 for a moment
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		return response.StatusCode == http.StatusCreated
	})
	testsupport.Eventually(t, patience, "the accepted request has run", func() bool {
		return s.state(accepted.header.Get("Location")).State == "done"
	})
	assert.Contains(t, s.do(http.MethodGet, accepted.header.Get("Location"), "").body, `"id":8`)
	assert.EqualValues(t, 2, p.made.Load())
}

// A composition is not continued when the outcomes of its steps may have expired: the steps
// would run again.
func TestOldCompositionsAreNotContinued(t *testing.T) {
	t.Parallel()
	s := startGateway(t, testsupport.Miniredis(t), "", func(c *api.Config) { c.Versions = []byte(steps) })
	var p parts
	s.work(p.service(), notes())
	s.awaitRoute("/parts/1")
	require.Equal(t, http.StatusCreated, s.do(http.MethodPost, "/v1/things/7", "").status)
	plans, err := s.conn.Redis().Keys(s.ctx, s.conn.Keys.Plan("*")).Result()
	require.NoError(t, err)
	require.Len(t, plans, 1)
	meta := wire.Meta{Version: "v1", Plan: strings.TrimPrefix(plans[0], s.conn.Keys.Plan(""))}
	client := caller.New(s.conn, caller.Config{})
	defer client.Close()
	require.NoError(t, client.WaitReady(s.ctx))
	dies := func(change func(*wire.Meta)) string {
		own := meta
		change(&own)
		request := &caller.Call{Service: wire.ReservedService, Action: "POST /v1/things/:id", Args: "[8]", ID: uuid.New(), Meta: own.Encode()}
		reply, err := client.Do(s.ctx, request)
		require.NoError(t, err)
		assert.Contains(t, reply.Envelope, `"state":"dead"`)
		letter, err := admin.FindDeadLetter(s.ctx, s.conn, wire.ReservedService, request.ID.String())
		require.NoError(t, err)
		return letter.Error
	}
	assert.Contains(t, dies(func(m *wire.Meta) { m.Began = time.Now().Add(-wire.StepStore - time.Minute).UnixMilli() }), "more than 7 days ago")
	assert.Contains(t, dies(func(m *wire.Meta) { m.Plan = "none" }), "its plan is not kept any more")
	assert.EqualValues(t, 1, p.made.Load(), "neither ran")
	meta.Began = time.Now().Add(-wire.StepStore + time.Minute).UnixMilli()
	reply, err := client.Do(s.ctx, &caller.Call{Service: wire.ReservedService, Action: "POST /v1/things/:id", Args: "[8]", ID: uuid.New(), Meta: meta.Encode()})
	require.NoError(t, err)
	assert.Contains(t, reply.Envelope, `{"ok":true`)
}

// A plan in force need not be in Redis: Redis may have lost its data.
func TestPlansInForceAreKnown(t *testing.T) {
	t.Parallel()
	s := startGateway(t, testsupport.Miniredis(t), "", func(c *api.Config) { c.Versions = []byte(steps) })
	var p parts
	s.work(p.service(), notes())
	s.awaitRoute("/parts/1")
	file, faults := versions.Parse([]byte(steps), nil)
	require.Empty(t, faults)
	plan := file.Versions[0].Plans[2]
	require.Equal(t, "POST /v1/things/:id", plan.Name())
	client := caller.New(s.conn, caller.Config{})
	defer client.Close()
	require.NoError(t, client.WaitReady(s.ctx))
	meta := wire.Meta{Version: "v1", Plan: plan.Hash()}
	reply, err := client.Do(s.ctx, &caller.Call{Service: wire.ReservedService, Action: plan.Name(), Args: "[8]", ID: uuid.New(), Meta: meta.Encode()})
	require.NoError(t, err)
	assert.Contains(t, reply.Envelope, `{"ok":true`)
	assert.EqualValues(t, 1, p.made.Load())
}

// A composition can be called once the scopes of its services are known.
func TestCompositionsOfUnseenServicesAreNotAccepted(t *testing.T) {
	t.Parallel()
	s := startGateway(t, testsupport.Miniredis(t), "", with(api.AuthOptional), func(c *api.Config) {
		c.Versions = []byte(`versions: {v1: {routes: {
  POST /written: {steps: [{call: guarded WRITE, args: ['{"name": "x"}']}]},
  POST /open: {scopes: [], steps: [{call: guarded WRITE, args: ['{"name": "x"}']}]}}}}`)
	})
	s.refused(http.StatusServiceUnavailable, "UNAVAILABLE", http.MethodPost, "/v1/written", "", "Prefer: respond-async")
	s.work(s.guarded())
	testsupport.Eventually(t, patience, "it is known", func() bool {
		return s.do(http.MethodPost, "/v1/written", "", "Prefer: respond-async").status == http.StatusUnauthorized
	})
	assert.Zero(t, s.runs.Load())
	got := s.do(http.MethodPost, "/v1/open", "")
	assert.NotEqual(t, http.StatusUnauthorized, got.status, "the version says itself who may")
}

// A version overrides the routes that it names, not others that its parameters match.
func TestVersionsLeaveLiteralRoutes(t *testing.T) {
	t.Parallel()
	s := startGateway(t, testsupport.Miniredis(t), "", func(c *api.Config) {
		c.Versions = []byte(`versions: {v1: {routes: {
  "GET /notes/:id": {path: {id: {type: integer}}, steps: [{call: notes READY}], result: path.id},
  "GET /notes/all/:id": {steps: [{call: notes READY}], result: path.id}}}}`)
	})
	service := notes()
	workers.Handle1(service, "ALL", func(_ context.Context, of string) (string, error) { return "own " + of, nil }, workers.Route("GET /notes/:of/first"), workers.Safe())
	s.work(service)
	s.awaitRoute("/notes/ready")
	s.got("7", http.MethodGet, "/v1/notes/7", "")
	s.got("true", http.MethodGet, "/v1/notes/ready", "")
	s.got(`"second"`, http.MethodGet, "/v1/notes/all/second", "")
	s.got(`"first"`, http.MethodGet, "/v1/notes/all/first", "")
	s.got(`"own some"`, http.MethodGet, "/v1/notes/some/first", "")
}

// A gateway that starts takes no composition before it knows the services.
func TestStartingGatewayFailsNoComposition(t *testing.T) {
	t.Parallel()
	url := testsupport.Miniredis(t)
	composed := func(c *api.Config) { c.Versions = []byte(steps) }
	s := startGateway(t, url, "", composed)
	var p parts
	s.work(p.service(), notes())
	s.awaitRoute("/parts/1")
	s.awaitRoute("/notes/ready")
	slow := testsupport.StartProxy(t, strings.TrimPrefix(url, "redis://"))
	slow.Delay(5 * time.Millisecond)
	for i := range 100 { // names that take a starting gateway a while to read
		require.NoError(t, s.conn.Redis().SAdd(t.Context(), s.conn.Keys.Services(), fmt.Sprintf("a%d", i)).Err())
	}
	calling, stop := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	for i := range 4 {
		callers.Go(func() {
			for calling.Err() == nil {
				got, err := s.send(s.request(http.MethodPost, fmt.Sprintf("/v1/things/%d", i), ""))
				if assert.NoError(t, err) {
					assert.Equal(t, http.StatusCreated, got.status, got.body)
				}
			}
		})
	}
	for range 3 {
		other := startGateway(t, url, slow.URL(), composed)
		require.NoError(t, other.stop())
	}
	stop()
	callers.Wait()
}
