package api_test

import (
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus/admin"
	"github.com/oskadev/mailroom/testsupport"
)

// An operator stops the delivery to a service. Callers get 503 at once, also those that do
// not wait.
func TestPausedServiceRefusesCalls(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	require.NoError(t, admin.Pause(s.ctx, s.conn, "things", true))
	testsupport.Eventually(t, patience, "calls are refused", func() bool {
		return s.do(http.MethodGet, "/things/7", "").status == http.StatusServiceUnavailable
	})
	a := s.do(http.MethodGet, "/things/7", "")
	assert.Equal(t, "things is paused by an operator", a.Error.Message)
	assert.Equal(t, "1", a.header.Get("Retry-After"))
	assert.Equal(t, http.StatusServiceUnavailable, s.do(http.MethodPost, "/things/stall", "", "Prefer: respond-async").status)

	paused, err := admin.Resume(s.ctx, s.conn, "things")
	require.NoError(t, err)
	assert.True(t, paused)
	s.awaitRoute("/things/7")
	paused, err = admin.Resume(s.ctx, s.conn, "things")
	require.NoError(t, err)
	assert.False(t, paused)
}

// Requests to a service that is paused without refusing calls wait in its mailbox, and run
// when it is resumed.
func TestPausedServiceKeepsItsRequests(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	require.NoError(t, admin.Pause(s.ctx, s.conn, "things", false))
	s.connLogs.Wait(t, "the mailbox was paused or resumed")
	var asking sync.WaitGroup
	testsupport.Eventually(t, patience, "a request waits", func() bool { // the read in progress may take others
		r := s.request(http.MethodGet, "/things/8", "")
		asking.Go(func() {
			a, err := s.send(r)
			if assert.NoError(t, err) {
				assert.Equal(t, http.StatusOK, a.status)
			}
		})
		stats, err := admin.ReadStats(s.ctx, s.conn, "things")
		return err == nil && stats.Backlog >= 2
	})
	_, err := admin.Resume(s.ctx, s.conn, "things")
	require.NoError(t, err)
	asking.Wait()
}
