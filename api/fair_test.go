package api_test

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/api"
	"github.com/oskadev/mailroom/testsupport"
	"github.com/oskadev/mailroom/workers"
)

// A principal that accepts any delay cannot delay the others: its requests without a deadline
// take only a part of the workers.
func TestBackgroundLeavesRoomForOthers(t *testing.T) {
	t.Parallel()
	s := startGateway(t, testsupport.Miniredis(t), "", with(api.AuthOptional))
	var running, most, ran atomic.Int64
	release := make(chan struct{})
	jobs := workers.NewService("jobs")
	workers.Handle0(jobs, "WAIT", func(ctx context.Context) (int, error) {
		most.Store(max(most.Load(), running.Add(1)))
		select {
		case <-release:
		case <-ctx.Done():
		}
		running.Add(-1)
		return int(ran.Add(1)), ctx.Err()
	}, workers.Route("POST /jobs/wait"))
	workers.Handle0(jobs, "QUICK", func(context.Context) (int, error) { return 1, nil }, workers.Route("POST /jobs/quick"), workers.Route("GET /jobs/quick"))
	s.workWith(workers.Config{Concurrency: 20}, jobs)
	bob, _ := s.key("bob")
	ada, _ := s.key("ada")
	testsupport.Eventually(t, patience, "bob is served", func() bool { return s.do(http.MethodPost, "/jobs/quick", "", bob).status == http.StatusOK })
	const jobsOfAda = 100
	for range jobsOfAda {
		require.Equal(t, http.StatusAccepted, s.do(http.MethodPost, "/jobs/wait", "", ada, "Prefer: respond-async").status)
	}
	testsupport.Eventually(t, patience, "all that may run do", func() bool { return running.Load() == 16 })
	for range 10 {
		assert.Equal(t, http.StatusOK, s.do(http.MethodPost, "/jobs/quick", "", bob).status)
	}
	close(release)
	testsupport.Eventually(t, patience, "all have run", func() bool { return ran.Load() == jobsOfAda })
	assert.EqualValues(t, 16, most.Load())
}
