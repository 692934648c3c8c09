package api_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/testsupport"
)

// requestState is the result of GET /requests/….
type requestState struct {
	ID      string          `json:"id"`
	Service string          `json:"service"`
	Action  string          `json:"action"`
	State   string          `json:"state"`
	Outcome json.RawMessage `json:"outcome"`
}

func (s *stage) state(location string) requestState {
	s.t.Helper()
	a := s.do(http.MethodGet, location, "")
	require.Equal(s.t, http.StatusOK, a.status, a.body)
	assert.Equal(s.t, "no-store", a.header.Get("Cache-Control"))
	var state requestState
	require.NoError(s.t, json.Unmarshal(a.Result, &state))
	return state
}

func TestStateOfRequests(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	var location string
	var state requestState
	testsupport.Eventually(t, patience, "a request begins to run before its deadline", func() bool {
		location = s.refused(504, "TIMEOUT", http.MethodPost, "/things/stall", "").header.Get("Location")
		state = s.state(location)
		return state.State == wire.StateRunning || state.State == wire.StateDone
	})
	assert.Equal(t, "things", state.Service)
	assert.Equal(t, "STALL", state.Action)
	assert.Equal(t, "/requests/things."+state.ID, location)
	testsupport.Eventually(t, patience, "its outcome is known", func() bool { return s.state(location).State == wire.StateDone })
	var outcome struct {
		OK    bool       `json:"ok"`
		Error wire.Error `json:"error"`
	}
	require.NoError(t, json.Unmarshal(s.state(location).Outcome, &outcome))
	assert.Equal(t, "STALL", outcome.Error.Action)

	// The other states, written to Redis directly.
	rdb := s.conn.Redis()
	mailbox := s.conn.Keys.Requests("others")
	require.NoError(t, rdb.XGroupCreateMkStream(s.ctx, mailbox, wire.Group, "0").Err())
	for _, want := range []string{wire.StateQueued, wire.StateExpired, wire.StateDead} {
		id := uuid.NewString()
		require.NoError(t, rdb.HSet(s.ctx, s.conn.Keys.Record("others", id), "state", want, "action", "DO", "entry", "1-1").Err())
		assert.Equal(t, requestState{ID: id, Service: "others", Action: "DO", State: want}, s.state("/requests/others."+id))
	}
}

func TestRequestsOfOthersAreUnknown(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	foreign := uuid.NewString()
	key := s.conn.Keys.Record("things", foreign)
	require.NoError(t, s.conn.Redis().HSet(s.ctx, key, "state", "done", "principal", "ada", "outcome", `- {"ok":true,"result":"secret"}`).Err())
	for _, name := range []string{
		"things." + foreign, "things." + uuid.NewString(), "nobody." + uuid.NewString(), "things.7", "things.", "things", "", ".", "{}.*",
		"things." + uuid.NewString() + ".x", "Things." + uuid.NewString(),
	} {
		a := s.refused(404, "NOT_FOUND", http.MethodGet, "/requests/"+name, "")
		assert.NotContains(t, a.body, "secret")
	}
	a := s.refused(405, "METHOD_NOT_ALLOWED", http.MethodPost, "/requests/things."+foreign, "")
	assert.Equal(t, "GET, HEAD, DELETE, OPTIONS", a.header.Get("Allow"))
	a = s.refused(405, "METHOD_NOT_ALLOWED", http.MethodDelete, "/requests/things."+foreign+"/events", "")
	assert.Equal(t, "GET, HEAD, OPTIONS", a.header.Get("Allow"))
}
