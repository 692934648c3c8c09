package bustest

import (
	"context"
	"sync/atomic"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus/admin"
	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/consumer"
	"github.com/oskadev/mailroom/bus/wire"
)

// dies makes a dead letter of one unsafe request, and returns its call and a
// switch that heals its handler.
func (s *stage) dies(c *caller.Client) (*caller.Call, *atomic.Bool, *counter) {
	s.t.Helper()
	var healed atomic.Bool
	runs := &counter{}
	s.serve(func(ctx context.Context, d *consumer.Delivery) consumer.Outcome {
		runs.add(d.Request.ID)
		if !healed.Load() {
			return consumer.Retry()
		}
		return echo(ctx, d)
	}, func(c *consumer.Config) { c.MaxAttempts = 1 })
	call := unsafe(`[1]`)
	call.ID = uuid.New()
	reply, err := c.Do(s.ctx, call)
	require.NoError(s.t, err)
	require.Equal(s.t, wire.CodeInternal, open(s.t, reply).Error.Code)
	require.Len(s.t, s.deadLetters(), 1)
	return call, &healed, runs
}

func replayed(s *stage) {
	c := s.client(caller.Config{})
	call, healed, runs := s.dies(c)
	letter, err := admin.FindDeadLetter(s.ctx, s.conn, "things", call.ID.String())
	require.NoError(s.t, err)
	assert.Equal(s.t, "DO", letter.Fields["action"])
	assert.Equal(s.t, 1, letter.Attempts)
	assert.False(s.t, letter.DeadAt.IsZero())
	assert.NotEmpty(s.t, letter.Error)

	// The handler still fails: it becomes a dead letter again, under its ID.
	became, err := admin.ReplayDeadLetter(s.ctx, s.conn, "things", letter)
	require.NoError(s.t, err)
	assert.Equal(s.t, admin.LetterReplayed, became)
	s.eventually("it is dead again", func() bool { return s.record(call.ID.String())["state"] == wire.StateDead && runs.total() == 2 })
	_, err = admin.ReplayDeadLetter(s.ctx, s.conn, "things", letter)
	require.ErrorIs(s.t, err, admin.ErrNoDeadLetter, "that letter has gone")

	healed.Store(true)
	letter, err = admin.FindDeadLetter(s.ctx, s.conn, "things", call.ID.String())
	require.NoError(s.t, err)
	_, err = admin.ReplayDeadLetter(s.ctx, s.conn, "things", letter)
	require.NoError(s.t, err)
	s.eventually("it has an outcome", func() bool { return s.record(call.ID.String())["state"] == wire.StateDone })
	reply, err := c.Do(s.ctx, call)
	require.NoError(s.t, err)
	assert.Equal(s.t, `{"ok":true,"result":[1]}`, reply.Envelope)
	assert.Equal(s.t, 3, runs.total())
	assert.Empty(s.t, s.deadLetters())
	s.empty()
}

// givenUpAtOnce: a handler can end a request without an outcome.
func givenUpAtOnce(s *stage) {
	c := s.client(caller.Config{})
	s.serve(func(context.Context, *consumer.Delivery) consumer.Outcome {
		return consumer.Dead("the outcome is unknown")
	})
	call := unsafe(`[1]`)
	call.ID = uuid.New()
	reply, err := c.Do(s.ctx, call)
	require.NoError(s.t, err)
	require.Equal(s.t, wire.CodeInternal, open(s.t, reply).Error.Code)
	letter, err := admin.FindDeadLetter(s.ctx, s.conn, "things", call.ID.String())
	require.NoError(s.t, err)
	assert.Equal(s.t, "the outcome is unknown", letter.Error)
	assert.Equal(s.t, 1, letter.Attempts)
}

func replayOfDone(s *stage) {
	c := s.client(caller.Config{})
	call, _, runs := s.dies(c)
	// Another process has stored the outcome.
	key := s.conn.Keys.Record("things", call.ID.String())
	require.NoError(s.t, s.rdb.HSet(s.ctx, key, "state", wire.StateDone, "outcome", `- {"ok":true,"result":7}`).Err())
	letters, err := admin.DeadLetters(s.ctx, s.conn, "things", "", 10)
	require.NoError(s.t, err)
	became, err := admin.ReplayDeadLetter(s.ctx, s.conn, "things", letters[0])
	require.NoError(s.t, err)
	assert.Equal(s.t, admin.LetterDone, became)
	assert.Empty(s.t, s.deadLetters())
	s.empty()
	assert.Equal(s.t, 1, runs.total(), "what has an outcome does not run again")
}

func dropped(s *stage) {
	c := s.client(caller.Config{})
	call, healed, _ := s.dies(c)
	_, err := c.Do(s.ctx, call)
	require.ErrorIs(s.t, err, caller.ErrDead)
	letter, err := admin.FindDeadLetter(s.ctx, s.conn, "things", s.deadLetters()[0].ID)
	require.NoError(s.t, err)
	became, err := admin.DropDeadLetter(s.ctx, s.conn, "things", letter)
	require.NoError(s.t, err)
	assert.Equal(s.t, admin.LetterDropped, became)
	assert.Empty(s.t, s.deadLetters())
	assert.Empty(s.t, s.record(call.ID.String()))
	healed.Store(true)
	reply, err := c.Do(s.ctx, call)
	require.NoError(s.t, err, "the ID is free")
	assert.Equal(s.t, `{"ok":true,"result":[1]}`, reply.Envelope)
	_, err = admin.FindDeadLetter(s.ctx, s.conn, "things", letter.Entry)
	require.ErrorIs(s.t, err, admin.ErrNoDeadLetter)
}

// letterWithoutID is a dead letter without an ID: its entry was not a valid request.
func letterWithoutID(s *stage) {
	mailbox := s.conn.Keys.Requests("things")
	require.NoError(s.t, s.rdb.XAdd(s.ctx, &redis.XAddArgs{Stream: mailbox, Values: []string{"hello", "world"}}).Err())
	s.serve(echo)
	s.empty()
	letters, err := admin.DeadLetters(s.ctx, s.conn, "things", "", 10)
	require.NoError(s.t, err)
	require.Len(s.t, letters, 1)
	assert.Equal(s.t, map[string]string{"hello": "world"}, letters[0].Fields)
	_, err = admin.DropDeadLetter(s.ctx, s.conn, "things", letters[0])
	require.NoError(s.t, err)
	assert.Empty(s.t, s.deadLetters())
}
