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

// A finished request's entry goes in the moment its reply is published: that it
// has gone is no sign yet that the reply is lost.
func TestSafeRequestIsAskedAgainOnlyAtTheSecondLook(t *testing.T) {
	t.Parallel()
	conn, err := bus.Connect(testsupport.Miniredis(t), bus.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	waiting := newWaiters()
	replies := newReplies(conn, "api.x", time.Second, waiting)
	c := &Client{conn: conn, waiters: waiting, replies: replies}
	c.writer = newWriter(conn, waiting, replies, newAdmission(conn, DefaultMailboxLimit, DefaultLaneLimit, false), time.Second)

	id := uuid.New()
	w := newWaiter()
	request := &wire.Request{ID: id.String(), Action: "DO", Args: "[]"}
	w.begin("things", request)
	waiting.add(id, w)
	waiting.written(id, request, "1-1") // which is not in the mailbox
	asked := c.writer.batches.Len
	look := func(at time.Time) {
		require.NoError(t, c.lookFor(t.Context(), waiting.overdue(at, false)))
	}
	first := time.Now().Add(firstLook)
	look(first)
	assert.Zero(t, asked(), "its reply may be on the way")
	look(first.Add(sweepEvery))
	assert.Equal(t, 1, asked(), "it is lost")
}

// A look that Redis does not answer is made again at once, not when the waiter's
// next turn comes.
func TestSweepTriesAgainWhenRedisDidNotTell(t *testing.T) {
	t.Parallel()
	proxy := testsupport.StartProxy(t, strings.TrimPrefix(testsupport.Miniredis(t), "redis://"))
	conn, err := bus.Connect(proxy.URL(), bus.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	c := &Client{conn: conn, waiters: newWaiters()}
	id := uuid.New()
	request := &wire.Request{ID: id.String(), Action: "DO", Args: "[]", Store: 1}
	w := newWaiter()
	w.begin("things", request)
	c.waiters.add(id, w)
	c.waiters.written(id, request, "1-1")
	require.NoError(t, conn.Redis().HSet(t.Context(), conn.Keys.Record("things", request.ID), "state", wire.StateDone, "outcome", "- {}").Err())

	now := time.Now()
	proxy.Refuse(true)
	proxy.Cut()
	assert.False(t, c.sweepOnce(t.Context(), now, true))
	proxy.Refuse(false)
	assert.True(t, c.sweepOnce(t.Context(), now, false))
	assert.Empty(t, w.wake, "its own turn has not come")
	assert.True(t, c.sweepOnce(t.Context(), now, true))
	assert.Equal(t, "{}", (<-w.wake).reply.Envelope)
}
