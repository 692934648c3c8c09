package bustest

import (
	"errors"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus/caller"
)

// fullLaneRefuses: a lane refuses requests over its limit, other lanes do not.
func fullLaneRefuses(s *stage) {
	c := s.client(caller.Config{LaneLimit: 3, MailboxLimit: 7})
	for i := range 4 {
		s.send(c, laned("item:1", number(i)))
	}
	_, err := c.Send(s.ctx, laned("item:1", `[4]`))
	full, ok := errors.AsType[*caller.OverloadedError](err)
	require.True(s.t, ok, "%v", err)
	assert.Equal(s.t, "item:1", full.Lane)
	assert.EqualValues(s.t, 3, full.Waiting)
	assert.Positive(s.t, full.RetryAfter)
	for i := range 4 {
		s.send(c, laned("item:2", number(i)))
	}
	s.send(c, laned("item:3", `[0]`))
	s.send(c, laned("item:3", `[1]`))
	_, err = c.Send(s.ctx, laned("item:3", `[2]`)) // seven wait in all lanes
	require.ErrorIs(s.t, err, caller.ErrOverloaded)
	var seen turns
	s.serve(seen.run)
	s.idle("item:1", "item:2", "item:3")
	assert.Len(s.t, seen.ran("item:1"), 4)
	assert.Len(s.t, seen.ran("item:3"), 2)
}

// removedByHand: an operator deletes the entry in the mailbox, or a whole lane. The next
// request runs.
func removedByHand(s *stage) {
	c := s.client(caller.Config{})
	mailbox := s.conn.Keys.Requests("things")
	// An old entry.
	first := laned("item:1", `[0]`)
	s.send(c, first)
	s.send(c, laned("item:1", `[1]`))
	require.NoError(s.t, s.rdb.XTrimMaxLen(s.ctx, mailbox, 0).Err())
	require.NoError(s.t, s.rdb.HSet(s.ctx, s.conn.Keys.Record("things", first.ID.String()), "entry", "1-1").Err())
	s.send(c, laned("item:1", `[2]`))
	// When it is sent again, it has a turn again.
	again := laned("item:2", `[0]`)
	s.send(c, again)
	require.NoError(s.t, s.rdb.XDel(s.ctx, mailbox, s.record(again.ID.String())["entry"]).Err())
	s.send(c, again)
	// So has a request that waited.
	s.send(c, laned("item:3", `[0]`))
	waits := laned("item:3", `[1]`)
	s.send(c, waits)
	require.NoError(s.t, s.rdb.Del(s.ctx, s.conn.Keys.Lane("things", "item:3"), s.conn.Keys.Waiting("things")).Err())
	s.send(c, waits)
	var seen turns
	s.serve(seen.run)
	s.empty()
	assert.Equal(s.t, []string{`[1]`, `[2]`}, seen.ran("item:1"))
	assert.Equal(s.t, []string{`[0]`}, seen.ran("item:2"))
	assert.ElementsMatch(s.t, []string{`[0]`, `[1]`}, seen.ran("item:3"))
}
