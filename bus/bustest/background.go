package bustest

import (
	"context"
	"strconv"
	"sync/atomic"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus/admin"
	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/consumer"
	"github.com/oskadev/mailroom/bus/wire"
)

// background returns a call without a deadline, of which width may run at once.
func background(args, principal string, width int) *caller.Call {
	call := unsafe(args)
	call.Endless, call.Lane = true, wire.BackgroundLane(principal, width)
	return call
}

// backgroundWidth sends many requests without a deadline. Only so many are in the mailbox at
// once, and a long one delays no other.
func backgroundWidth(s *stage) {
	var running, most atomic.Int64
	release := make(chan struct{})
	s.serve(func(ctx context.Context, d *consumer.Delivery) consumer.Outcome {
		most.Store(max(most.Load(), running.Add(1)))
		defer running.Add(-1)
		if d.Request.Args == "[0]" {
			<-release
		}
		return echo(ctx, d)
	})
	c := s.client(caller.Config{})
	var ids []uuid.UUID
	for i := range 20 {
		id, err := c.Send(s.ctx, background("["+strconv.Itoa(i)+"]", "ada", 3))
		require.NoError(s.t, err)
		ids = append(ids, id)
	}
	state := func(id uuid.UUID) string {
		record, err := c.Record(s.ctx, "things", id.String())
		require.NoError(s.t, err)
		return record.State
	}
	s.eventually("all but the long one have run", func() bool {
		for _, id := range ids[1:] {
			if state(id) != wire.StateDone {
				return false
			}
		}
		return true
	})
	assert.Equal(s.t, wire.StateRunning, state(ids[0]))
	assert.LessOrEqual(s.t, most.Load(), int64(3))
	close(release)
	s.eventually("the long one has run", func() bool { return state(ids[0]) == wire.StateDone })
	s.empty()
	lanes, err := admin.Lanes(s.ctx, s.conn, "things")
	require.NoError(s.t, err)
	assert.Empty(s.t, lanes)
	keys, err := s.rdb.Keys(s.ctx, s.conn.Keys.Lane("things", "*")).Result()
	require.NoError(s.t, err)
	assert.Empty(s.t, keys)
}

// backgroundShares fills the room for waiting requests by one principal, and cancels one.
func backgroundShares(s *stage) {
	c := s.client(caller.Config{MailboxLimit: 20})
	send := func(principal string) (uuid.UUID, error) { return c.Send(s.ctx, background("[1]", principal, 2)) }
	_, err := send("bob")
	require.NoError(s.t, err)
	for range 2 {
		_, err = send("bob")
		require.NoError(s.t, err)
	}
	var waiting uuid.UUID
	for range 2 + 5 { // two have a slot
		waiting, err = send("ada")
		require.NoError(s.t, err)
	}
	_, err = send("ada")
	require.ErrorIs(s.t, err, caller.ErrOverloaded, "it has its quarter")
	_, err = send("bob")
	require.NoError(s.t, err)
	lanes, err := admin.Lanes(s.ctx, s.conn, "things")
	require.NoError(s.t, err)
	require.Len(s.t, lanes, 2)
	assert.EqualValues(s.t, 5, lanes[0].Waiting)
	assert.Empty(s.t, lanes[0].Turn)

	record, err := c.Cancel(s.ctx, "things", waiting.String())
	require.NoError(s.t, err)
	assert.Equal(s.t, wire.StateCancelled, record.State)
	_, err = send("ada")
	require.NoError(s.t, err)
	s.serve(echo)
	s.empty()
	s.eventually("none waits", func() bool {
		lanes, err := admin.Lanes(s.ctx, s.conn, "things")
		return err == nil && len(lanes) == 0
	})
}
