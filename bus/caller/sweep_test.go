package caller

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/testsupport"
)

// The entry of a finished request is removed when its reply is published: a missing
// entry alone does not mean that the reply is lost.
func TestSweepResendsASafeRequestAtTheSecondCheck(t *testing.T) {
	t.Parallel()
	conn, err := bus.Connect(testsupport.Miniredis(t), bus.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	waiting := newWaiters()
	admits := newAdmission(conn, defaultMailboxLimit, defaultLaneLimit, false, noLimits)
	s := newSweeper(conn, waiting, newWriter(conn, waiting, newHealth(conn, "api.x", time.Second), admits, time.Second), nil)
	t.Cleanup(s.pipeline.Close)

	id := uuid.New()
	w := newWaiter()
	request := &wire.Request{ID: id.String(), Action: "DO", Args: "[]"}
	w.begin("things", request, purpose{})
	waiting.add(id, w)
	waiting.written(id, request, "1-1") // which is not in the mailbox
	queued := s.writer.batches.Len
	look := func(at time.Time) {
		require.NoError(t, s.lookFor(t.Context(), waiting.overdue(at, false)))
	}
	first := time.Now().Add(firstCheck)
	look(first)
	assert.Zero(t, queued(), "its reply may still arrive")
	look(first.Add(sweepEvery))
	assert.Equal(t, 1, queued(), "it is lost")
}

// The sweep repeats a check that Redis did not answer at once, not at the waiter's next
// check.
func TestSweepRetriesWhenRedisDidNotAnswer(t *testing.T) {
	t.Parallel()
	proxy := testsupport.StartProxy(t, strings.TrimPrefix(testsupport.Miniredis(t), "redis://"))
	conn, err := bus.Connect(proxy.URL(), bus.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	s := newSweeper(conn, newWaiters(), nil, nil)
	t.Cleanup(s.pipeline.Close)
	id := uuid.New()
	request := &wire.Request{ID: id.String(), Action: "DO", Args: "[]", Store: 1}
	w := newWaiter()
	w.begin("things", request, purpose{})
	s.waiters.add(id, w)
	s.waiters.written(id, request, "1-1")
	require.NoError(t, conn.Redis().HSet(t.Context(), conn.Keys.Record("things", request.ID), "state", wire.StateDone, "outcome", "- {}").Err())

	now := time.Now()
	proxy.Refuse(true)
	proxy.Cut()
	assert.False(t, s.once(t.Context(), now, true))
	proxy.Refuse(false)
	assert.True(t, s.once(t.Context(), now, false))
	assert.Empty(t, w.wake, "its next check is not due")
	assert.True(t, s.once(t.Context(), now, true))
	assert.Equal(t, "{}", (<-w.wake).reply.Envelope)
}

// noLimits bound no stored bytes.
func noLimits() storedLimits { return storedLimits{} }
