package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/testsupport"
	"github.com/oskadev/mailroom/workers"
)

// accepted sends a request that must get a ticket, and returns its path.
func (s *stage) accepted(path string, headers ...string) (string, *answer) {
	s.t.Helper()
	a := s.do(http.MethodPost, path, "", headers...)
	require.Equal(s.t, http.StatusAccepted, a.status, a.body)
	require.Equal(s.t, "1", a.header.Get("Retry-After"))
	location := a.header.Get("Location")
	var state requestState
	require.NoError(s.t, json.Unmarshal(a.Result, &state))
	require.Equal(s.t, "/requests/"+state.Service+"."+state.ID, location)
	require.Empty(s.t, state.Outcome)
	return location, a
}

func TestAsyncCallGetsATicket(t *testing.T) {
	t.Parallel()
	s := startGateway(t, testsupport.Miniredis(t), "")
	g := s.gate()
	location, a := s.accepted("/gate", "Prefer: respond-async")
	assert.Equal(t, "respond-async", a.header.Get("Preference-Applied"))
	<-g.entered
	assert.Equal(t, wire.StateRunning, s.state(location).State)
	close(g.open)
	began := time.Now()
	a = s.do(http.MethodGet, location+"?wait=20", "")
	assert.Less(t, time.Since(began), 5*time.Second, "it is told at once")
	var state requestState
	require.NoError(t, json.Unmarshal(a.Result, &state))
	assert.Equal(t, wire.StateDone, state.State)
	assert.JSONEq(t, `{"ok":true,"result":"passed"}`, string(state.Outcome))
	assert.Empty(t, a.header.Get("Retry-After"), "there is nothing to come back for")
	s.refused(400, "BAD_REQUEST", http.MethodGet, location+"?wait=soon", "")
}

func TestWaitEndsWithATicket(t *testing.T) {
	t.Parallel()
	s := startGateway(t, testsupport.Miniredis(t), "")
	g := s.gate()
	began := time.Now()
	location, a := s.accepted("/gate", "Prefer: wait=1")
	assert.GreaterOrEqual(t, time.Since(began), time.Second)
	assert.Equal(t, "wait=1", a.header.Get("Preference-Applied"))
	began = time.Now()
	assert.Equal(t, wire.StateRunning, s.state(location+"?wait=1").State)
	assert.GreaterOrEqual(t, time.Since(began), time.Second)
	close(g.open)
	assert.Equal(t, wire.StateDone, s.state(location+"?wait=20").State)
	// An answer in time needs no ticket.
	s.got(`"passed"`, http.MethodPost, "/gate", "", "Prefer: wait=20")
	// Safe actions have no ticket.
	s.got(`true`, http.MethodGet, "/gate", "", "Prefer: respond-async")
}

// An accepted request waits for a worker that is not running.
func TestAsyncCallWaitsForAWorker(t *testing.T) {
	t.Parallel()
	s := startGateway(t, testsupport.Miniredis(t), "")
	stop := s.work(s.things())
	s.awaitRoute("/things/count")
	stop()
	s.awaitNoWorker("/things/count")
	location, _ := s.accepted("/things/7/touch", "Prefer: respond-async", "Idempotency-Key: k")
	again, _ := s.accepted("/things/7/touch", "Prefer: respond-async", "Idempotency-Key: k")
	assert.Equal(t, location, again, "one key, one ticket")
	s.refused(422, "IDEMPOTENCY_KEY_REUSED", http.MethodPost, "/things/8/touch", "", "Prefer: respond-async", "Idempotency-Key: k")
	assert.Equal(t, wire.StateQueued, s.state(location).State)
	s.work(s.things())
	assert.Equal(t, wire.StateDone, s.state(location+"?wait=20").State)
	a := s.got(`{"id":7}`, http.MethodPost, "/things/7/touch", "", "Idempotency-Key: k")
	assert.Equal(t, "true", a.header.Get("Idempotency-Replayed"))
	assert.EqualValues(t, 1, s.runs.Load())
}

// The outcome under a key is returned even while no worker runs.
func TestStoredOutcomeNeedsNoWorker(t *testing.T) {
	t.Parallel()
	s := startGateway(t, testsupport.Miniredis(t), "")
	stop := s.work(s.things())
	s.awaitRoute("/things/count")
	s.got(`{"id":7}`, http.MethodPost, "/things/7/touch", "", "Idempotency-Key: k")
	stop()
	s.awaitNoWorker("/things/count")
	a := s.got(`{"id":7}`, http.MethodPost, "/things/7/touch", "", "Idempotency-Key: k")
	assert.Equal(t, "true", a.header.Get("Idempotency-Replayed"))
	s.refused(503, "UNAVAILABLE", http.MethodPost, "/things/7/touch", "", "Idempotency-Key: l")
}

func TestTicketsCanBeCancelled(t *testing.T) {
	t.Parallel()
	s := startGateway(t, testsupport.Miniredis(t), "")
	g := s.gate() // runs one request at a time
	running, _ := s.accepted("/gate", "Prefer: respond-async")
	<-g.entered
	waiting, _ := s.accepted("/gate", "Prefer: respond-async")
	var state requestState
	a := s.do(http.MethodDelete, waiting, "")
	require.Equal(t, http.StatusOK, a.status, a.body)
	require.NoError(t, json.Unmarshal(a.Result, &state))
	assert.Equal(t, wire.StateCancelled, state.State)
	assert.Equal(t, wire.StateCancelled, s.state(waiting).State)
	a = s.do(http.MethodDelete, running, "")
	require.Equal(t, http.StatusAccepted, a.status, a.body)
	require.NoError(t, json.Unmarshal(a.Result, &state))
	assert.Equal(t, wire.StateCancelling, state.State)
	close(g.open)
	assert.Equal(t, wire.StateDone, s.state(running+"?wait=20").State, "its handler had an outcome before it was told")
	a = s.refused(409, "CONFLICT", http.MethodDelete, running, "")
	assert.JSONEq(t, `{"state":"done"}`, string(a.Error.Details))
	assert.Empty(t, g.entered, "what was cancelled never ran")
	s.refused(404, "NOT_FOUND", http.MethodDelete, "/requests/gate.0190a5b4-7c3e-7d52-9f3e-0123456789ab", "")
}

// event is one event of a stream.
type event struct{ id, name, state string }

// follow reads a stream of events to its end.
func (s *stage) follow(location string, headers ...string) (status int, events <-chan event) {
	s.t.Helper()
	response, err := s.client.Do(s.request(http.MethodGet, location+"/events", "", headers...)) //nolint:bodyclose // below, once it is read
	require.NoError(s.t, err)
	told := make(chan event, 10)
	if response.StatusCode == http.StatusOK {
		assert.Equal(s.t, "text/event-stream", response.Header.Get("Content-Type"))
		assert.Equal(s.t, "no-store", response.Header.Get("Cache-Control"))
	}
	go func() {
		defer close(told)
		defer func() { _ = response.Body.Close() }()
		var e event
		for lines := bufio.NewScanner(response.Body); lines.Scan(); {
			name, value, _ := strings.Cut(lines.Text(), ": ")
			switch name {
			case "id":
				e.id = value
			case "event":
				e.name = value
			case "data":
				var state requestState
				if json.Unmarshal([]byte(value), &state) == nil {
					e.state = state.State
				}
			case "":
				if e != (event{}) {
					told <- e
				}
				e = event{}
			}
		}
	}()
	return response.StatusCode, told
}

func TestStatesAreStreamed(t *testing.T) {
	t.Parallel()
	s := startGateway(t, testsupport.Miniredis(t), "")
	g := s.gate()
	first, _ := s.accepted("/gate", "Prefer: respond-async")
	<-g.entered
	second, _ := s.accepted("/gate", "Prefer: respond-async")
	_, events := s.follow(second)
	assert.Equal(t, event{"1", "state", wire.StateQueued}, <-events)
	_, late := s.follow(first)
	assert.Equal(t, event{"2", "state", wire.StateRunning}, <-late, "a stream begins where the request is")
	g.open <- struct{}{}
	assert.Equal(t, event{"4", "state", wire.StateDone}, <-late)
	_, more := <-late
	assert.False(t, more, "there is nothing behind the end")
	<-g.entered
	assert.Equal(t, event{"2", "state", wire.StateRunning}, <-events)
	_, resumed := s.follow(second, "Last-Event-ID: 2")
	g.open <- struct{}{}
	assert.Equal(t, event{"4", "state", wire.StateDone}, <-events)
	assert.Equal(t, event{"4", "state", wire.StateDone}, <-resumed, "not what the client has seen")
	status, _ := s.follow(second, "Last-Event-ID: 4")
	assert.Equal(t, http.StatusNoContent, status, "the client need not come again")
	s.refused(404, "NOT_FOUND", http.MethodGet, "/requests/gate.0190a5b4-7c3e-7d52-9f3e-0123456789ab/events", "")
}

// Waiting callers do not delay a gateway that stops.
func TestDrainEndsWaiting(t *testing.T) {
	t.Parallel()
	s := startGateway(t, testsupport.Miniredis(t), "")
	g := s.gate()
	location, _ := s.accepted("/gate", "Prefer: respond-async")
	<-g.entered
	_, events := s.follow(location)
	assert.Equal(t, wire.StateRunning, (<-events).state)
	polled := make(chan *answer, 1)
	request := s.request(http.MethodGet, location+"?wait=60", "")
	go func() {
		a, _ := s.send(request)
		polled <- a
	}()
	testsupport.Eventually(t, patience, "both wait", func() bool {
		return len(strings.Fields(s.conn.Redis().HGet(s.ctx, s.recordKey(location), "channels").Val())) == 1
	})
	require.NoError(t, s.ends(s.drain(), 5*time.Second))
	_, more := <-events
	assert.False(t, more)
	if a := <-polled; assert.NotNil(t, a, "it gets the state by now") {
		assert.Equal(t, http.StatusOK, a.status, a.body)
		assert.Contains(t, a.body, wire.StateRunning)
	}
	close(g.open)
}

func (s *stage) recordKey(location string) string {
	service, id, _ := strings.Cut(strings.TrimPrefix(location, "/requests/"), ".")
	return s.conn.Keys.Record(service, id)
}

// A refusal of the arguments is not kept under the key: after a rolling update, the same
// request may fit.
func TestBadRequestFreesItsKey(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	picky := workers.NewService("picky")
	var accepts atomic.Bool
	workers.Handle0(picky, "ACCEPT", func(context.Context) (string, error) {
		if !accepts.Load() {
			return "", workers.BadRequest(workers.FieldError{Field: "note", Problem: "is not a field of this action"})
		}
		return "accepted", nil
	}, workers.Route("POST /picky"))
	workers.Handle0(picky, "READY", func(context.Context) (int, error) { return 1, nil }, workers.Route("GET /picky/ready"))
	s.work(picky)
	s.awaitRoute("/picky/ready")
	s.refused(400, "BAD_REQUEST", http.MethodPost, "/picky", "", "Idempotency-Key: k")
	accepts.Store(true)
	testsupport.Eventually(t, patience, "the same key is tried again", func() bool {
		a, err := s.send(s.request(http.MethodPost, "/picky", "", "Idempotency-Key: k")) // the refusal for a moment
		require.NoError(t, err)
		return a.status == http.StatusOK
	})
}
