package workers_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/consumer"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/busctx"
	"github.com/oskadev/mailroom/testsupport"
	"github.com/oskadev/mailroom/workers"
)

// A handler that extends its time runs past its deadline, and no other worker takes its
// request. Its caller gets TIMEOUT, and the outcome later.
func TestHandlerExtendsItsTime(t *testing.T) {
	t.Parallel()
	service := things()
	var runs atomic.Int64
	extended, finish := make(chan struct{}), make(chan struct{})
	workers.Handle0(service, "LONG", func(ctx context.Context) (string, error) {
		runs.Add(1)
		longer, cancel := workers.Extend(ctx, time.Minute)
		defer cancel()
		close(extended)
		<-ctx.Done() // its first deadline
		assert.NotEmpty(t, workers.RequestID(longer))
		select {
		case <-finish:
			return "done", longer.Err()
		case <-longer.Done():
			return "", longer.Err()
		}
	})
	short := func(c *workers.Config) { c.DrainLimit = 300 * time.Millisecond }
	s := serve(t, service, short)
	var other sync.WaitGroup // another worker, which would take over the request if it could
	ctx, stop := context.WithCancel(t.Context())
	other.Go(func() {
		cfg := workers.Config{IdleLimit: 300 * time.Millisecond}
		assert.NoError(t, workers.Run(busctx.With(ctx, s.conn), cfg, service))
	})
	t.Cleanup(other.Wait)
	t.Cleanup(stop)
	id := uuid.New()
	_, err := s.client.Do(t.Context(), &caller.Call{Service: "things", Action: "LONG", ID: id, Timeout: 300 * time.Millisecond})
	require.ErrorIs(t, err, caller.ErrTimeout)
	<-extended
	state := func() string {
		r, err := caller.FindRecord(t.Context(), s.conn, "things", id.String())
		require.NoError(t, err)
		return r.State
	}
	for end := time.Now().Add(1500 * time.Millisecond); time.Now().Before(end); <-time.After(50 * time.Millisecond) {
		require.Equal(t, wire.StateRunning, state())
	}
	close(finish)
	testsupport.Eventually(t, 10*time.Second, "it has its outcome", func() bool { return state() == wire.StateDone })
	assert.EqualValues(t, 1, runs.Load())
}

// The extended time also ends at the worker's drain limit.
func TestExtendedTimeEndsWithTheWorker(t *testing.T) {
	t.Parallel()
	service := things()
	extended, causes := make(chan struct{}), make(chan error, 1)
	workers.Handle0(service, "LONG", func(ctx context.Context) (string, error) {
		longer, cancel := workers.Extend(ctx, time.Minute)
		defer cancel()
		close(extended)
		<-longer.Done()
		causes <- context.Cause(longer)
		return "", longer.Err()
	})
	s := serve(t, service, func(c *workers.Config) { c.DrainLimit = 10 * time.Millisecond })
	var asking sync.WaitGroup
	asking.Go(func() {
		_, err := s.client.Do(t.Context(), &caller.Call{Service: "things", Action: "LONG", Timeout: time.Second})
		assert.ErrorIs(t, err, caller.ErrTimeout)
	})
	<-extended
	s.stop()
	require.ErrorIs(t, <-causes, consumer.ErrDraining)
	require.NoError(t, <-s.ended)
	asking.Wait()
}
