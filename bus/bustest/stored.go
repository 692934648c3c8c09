package bustest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus/admin"
	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/consumer"
	"github.com/oskadev/mailroom/bus/wire"
)

// stored returns the bytes that are charged to all principals, and their sum
// over the times until which they count.
func (s *stage) stored() (bytes, sum int64) {
	s.t.Helper()
	fields, err := s.rdb.HGetAll(s.ctx, s.conn.Keys.Stored("things")).Result()
	require.NoError(s.t, err)
	for name, text := range fields {
		n, err := strconv.ParseInt(text, 10, 64)
		require.NoError(s.t, err)
		switch name {
		case "bytes":
			bytes = n
		case "swept":
		default:
			sum += n
		}
	}
	return bytes, sum
}

// recordBytes are those of a record in account.lua.
const recordBytes = 900

// of returns a call by a principal.
func of(subject string, call *caller.Call) *caller.Call {
	call.Principal = &wire.Principal{Subject: subject}
	return call
}

// storageIsLimited fills what one principal may store. It gets an error then, and others do
// not.
func storageIsLimited(s *stage) {
	s.serve(echo)
	const limit, size = 260 << 10, 10_000
	c := s.client(caller.Config{StoredLimit: limit})
	large := `["` + strings.Repeat("x", size) + `"]`
	_, err := c.Do(s.ctx, of("bob", unsafe(`["is here"]`)))
	require.NoError(s.t, err)
	var accepted []uuid.UUID
	var refused *caller.StorageLimitedError
	for refused == nil {
		call := of("ada", unsafe(large))
		call.ID = uuid.New()
		_, err := c.Do(s.ctx, call)
		if !errors.As(err, &refused) {
			require.NoError(s.t, err)
			accepted = append(accepted, call.ID)
		}
		require.Less(s.t, len(accepted), limit/size)
	}
	assert.Len(s.t, accepted, limit/4/(size+recordBytes), "a quarter of all")
	assert.Equal(s.t, "things", refused.Service)
	assert.Greater(s.t, refused.RetryAfter, time.Minute)
	assert.Less(s.t, refused.RetryAfter, 6*time.Minute)

	again := of("ada", unsafe(large))
	again.ID, again.Shared = accepted[0], true
	_, err = c.Do(s.ctx, again)
	require.NoError(s.t, err, "a known ID needs no room")
	for range 3 {
		_, err = c.Do(s.ctx, of("bob", unsafe(large)))
		require.NoError(s.t, err, "others have their own quarter")
	}
	bytes, sum := s.stored()
	assert.Equal(s.t, bytes, sum)
	stats, err := admin.ReadStats(s.ctx, s.conn, "things")
	require.NoError(s.t, err)
	assert.Equal(s.t, bytes, stats.Stored)
	outcome := len(large) + len(`{"ok":true,"result":}`)
	assert.InDelta(s.t, (len(accepted)+3)*(recordBytes+outcome)+recordBytes, bytes, 200, "what is stored, and nothing else")
}

// loneStorage lets a principal use all that no other uses, and keeps a tenth for others.
func loneStorage(s *stage) {
	s.serve(echo)
	const limit, size = 130 << 10, 10_000
	c := s.client(caller.Config{StoredLimit: limit})
	large := `["` + strings.Repeat("x", size) + `"]`
	accepted := 0
	for {
		_, err := c.Do(s.ctx, of("ada", unsafe(large)))
		if errors.Is(err, caller.ErrStorageLimited) {
			break
		}
		require.NoError(s.t, err)
		accepted++
	}
	assert.Equal(s.t, limit/(size+recordBytes), accepted)
	_, err := c.Do(s.ctx, of("bob", unsafe(large)))
	require.NoError(s.t, err)
}

// waitingIsStored charges requests that no worker has run, and takes it back when they end.
func waitingIsStored(s *stage) {
	const size = 10_000
	c := s.client(caller.Config{StoredLimit: 128 << 10})
	args := `["` + strings.Repeat("x", size) + `"]`
	send := func(lane string) uuid.UUID {
		call := unsafe(args)
		call.Endless, call.Lane = true, lane
		id, err := c.Send(s.ctx, call)
		require.NoError(s.t, err)
		return id
	}
	ids := []uuid.UUID{send(""), send(""), send("l"), send("l")}
	one := int64(recordBytes + len(args) + len("{}"))
	bytes, sum := s.stored()
	assert.Equal(s.t, sum, bytes)
	assert.InDelta(s.t, 4*one, bytes, 16)
	for _, id := range []uuid.UUID{ids[0], ids[3]} {
		record, err := c.Cancel(s.ctx, "things", id.String())
		require.NoError(s.t, err)
		require.Equal(s.t, wire.StateCancelled, record.State)
	}
	bytes, _ = s.stored()
	assert.InDelta(s.t, 2*one+2*recordBytes, bytes, 16, "a cancelled request keeps its record alone")
	s.serve(func(context.Context, *consumer.Delivery) consumer.Outcome { return consumer.Dead("given up") })
	s.eventually("they are dead letters", func() bool { return len(s.deadLetters()) == 2 })
	bytes, _ = s.stored()
	assert.InDelta(s.t, 2*one+2*recordBytes, bytes, 16, "a dead letter keeps the request")
	letters, err := admin.DeadLetters(s.ctx, s.conn, "things", "", 10)
	require.NoError(s.t, err)
	for _, letter := range letters {
		_, err := admin.DropDeadLetter(s.ctx, s.conn, "things", letter)
		require.NoError(s.t, err)
	}
	bytes, sum = s.stored()
	assert.Equal(s.t, sum, bytes)
	assert.EqualValues(s.t, 2*recordBytes, bytes)
}

// largeOutcome keeps a large outcome whole for a while, and then how the request ended.
func largeOutcome(s *stage) {
	s.serve(echo)
	c := s.client(caller.Config{})
	args := `["` + strings.Repeat("x", 100_000) + `"]`
	call := unsafe(args)
	call.ID, call.Shared, call.Store = uuid.New(), true, 24*time.Hour
	want := `{"ok":true,"result":` + args + `}`
	for range 2 {
		same := *call
		reply, err := c.Do(s.ctx, &same)
		require.NoError(s.t, err)
		require.Len(s.t, reply.Envelope, len(want))
	}
	body := s.conn.Keys.Body("things", call.ID.String())
	assert.LessOrEqual(s.t, s.rdb.PTTL(s.ctx, body).Val(), 5*time.Minute)
	assert.Greater(s.t, s.rdb.PTTL(s.ctx, s.conn.Keys.Record("things", call.ID.String())).Val(), 23*time.Hour)
	assert.Less(s.t, len(fmt.Sprint(s.record(call.ID.String()))), 2000)
	record, err := c.Record(s.ctx, "things", call.ID.String())
	require.NoError(s.t, err)
	assert.Len(s.t, record.Outcome, len(want))

	require.NoError(s.t, s.rdb.Del(s.ctx, body).Err()) // as if five minutes had passed
	reply, err := c.Do(s.ctx, call)
	require.NoError(s.t, err)
	assert.True(s.t, reply.Replayed)
	_, failure := wire.ParseEnvelope(reply.Envelope)
	require.NotNil(s.t, failure)
	assert.Equal(s.t, wire.CodeOutcomeNotKept, failure.Code)
	assert.Equal(s.t, 410, wire.StatusOf(reply.Envelope, 0))
	assert.Contains(s.t, reply.Envelope, `"bytes":`+strconv.Itoa(len(want)))
	assert.Contains(s.t, reply.Envelope, `ended with status 200`)
}
