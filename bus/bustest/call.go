package bustest

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/consumer"
	"github.com/oskadev/mailroom/bus/wire"
)

func safeLeavesNothing(s *stage) {
	w := s.serve(echo)
	call := safe(`[1,"a"]`)
	call.ID = uuid.New()
	reply, err := s.client(caller.Config{}).Do(s.ctx, call)
	require.NoError(s.t, err)
	require.Equal(s.t, `{"ok":true,"result":[1,"a"]}`, reply.Envelope)
	meta, err := wire.ParseReplyMeta(reply.Meta)
	require.NoError(s.t, err)
	assert.Equal(s.t, w.Worker(), meta.Worker)
	assert.Equal(s.t, 1, meta.Attempt)
	s.empty()
	assert.Empty(s.t, s.record(call.ID.String()))
}

func unsafeKeepsOutcome(s *stage) {
	s.serve(echo)
	call := unsafe(`[2]`)
	call.ID, call.Store = uuid.New(), time.Minute
	reply, err := s.client(caller.Config{}).Do(s.ctx, call)
	require.NoError(s.t, err)
	require.Equal(s.t, `{"ok":true,"result":[2]}`, reply.Envelope)
	s.empty()
	record := s.record(call.ID.String())
	assert.Equal(s.t, wire.StateDone, record["state"])
	assert.Equal(s.t, "DO", record["action"])
	assert.True(s.t, strings.HasSuffix(record["outcome"], ` {"ok":true,"result":[2]}`), record["outcome"])
	ttl, err := s.rdb.PTTL(s.ctx, s.conn.Keys.Record("things", call.ID.String())).Result()
	require.NoError(s.t, err)
	assert.InDelta(s.t, time.Minute, ttl, float64(30*time.Second))
}

func everyCallerItsOwn(s *stage) {
	s.serve(echo)
	s.serve(echo)
	c := s.client(caller.Config{})
	var callers sync.WaitGroup
	for i := range 500 {
		callers.Go(func() {
			call := safe(number(i))
			if i%2 == 1 {
				call = unsafe(number(i))
			}
			reply, err := c.Do(s.ctx, call)
			if assert.NoError(s.t, err) {
				assert.Equal(s.t, `{"ok":true,"result":`+number(i)+`}`, reply.Envelope)
			}
		})
	}
	callers.Wait()
	s.empty()
}

func errorIsAnswer(s *stage) {
	s.serve(func(context.Context, *consumer.Delivery) consumer.Outcome {
		return consumer.Done(wire.ReplyMeta{}, wire.Failure(&wire.Error{Code: "SOLD_OUT", Status: 409, Message: "sold out"}), 0)
	})
	reply, err := s.client(caller.Config{}).Do(s.ctx, unsafe(`[]`))
	require.NoError(s.t, err)
	e := open(s.t, reply)
	assert.False(s.t, e.OK)
	assert.Equal(s.t, wire.Code("SOLD_OUT"), e.Error.Code)
}

func waitsForWorker(s *stage) {
	c := s.client(caller.Config{})
	answers := make(chan string, 2)
	for _, call := range []*caller.Call{safe(`[1]`), unsafe(`[2]`)} {
		go func() {
			reply, err := c.Do(s.ctx, call)
			if err != nil {
				reply.Envelope = err.Error()
			}
			answers <- reply.Envelope
		}()
	}
	s.eventually("both requests lie in the mailbox", func() bool {
		return s.rdb.XLen(s.ctx, s.conn.Keys.Requests("things")).Val() == 2
	})
	s.serve(echo)
	assert.ElementsMatch(s.t, []string{`{"ok":true,"result":[1]}`, `{"ok":true,"result":[2]}`},
		[]string{<-answers, <-answers})
}

func oneIDRunsOnce(s *stage) {
	var runs counter
	s.serve(func(_ context.Context, d *consumer.Delivery) consumer.Outcome {
		return success(number(runs.add(d.Request.ID)))
	})
	c := s.client(caller.Config{})
	call := unsafe(`["pay"]`)
	call.ID = uuid.New()
	for range 3 {
		reply, err := c.Do(s.ctx, call)
		require.NoError(s.t, err)
		require.Equal(s.t, `{"ok":true,"result":[1]}`, reply.Envelope)
	}
	assert.Equal(s.t, 1, runs.total())
}

func oneIDSeveralGateways(s *stage) {
	var runs counter
	release := make(chan struct{})
	s.serve(func(_ context.Context, d *consumer.Delivery) consumer.Outcome {
		runs.add(d.Request.ID)
		<-release
		return success(`"paid"`)
	})
	call := unsafe(`["pay"]`)
	call.ID = uuid.New()
	const gateways = 3
	answers := make(chan string, gateways)
	for range gateways {
		c := s.client(caller.Config{})
		go func() {
			reply, err := c.Do(s.ctx, call)
			if err != nil {
				reply.Envelope = err.Error()
			}
			answers <- reply.Envelope
		}()
	}
	s.eventually("all gateways wait for it", func() bool {
		return len(strings.Fields(s.record(call.ID.String())["channels"])) == gateways
	})
	close(release)
	for range gateways {
		assert.Equal(s.t, `{"ok":true,"result":"paid"}`, <-answers)
	}
	assert.Equal(s.t, 1, runs.total())
}

func otherRequestSameID(s *stage) {
	s.serve(echo)
	c := s.client(caller.Config{})
	first, second := unsafe(`[1]`), unsafe(`[2]`)
	first.ID = uuid.New()
	second.ID = first.ID
	_, err := c.Do(s.ctx, first)
	require.NoError(s.t, err)
	_, err = c.Do(s.ctx, second)
	require.ErrorIs(s.t, err, caller.ErrKeyReused)
}

func timeoutKeepsOutcome(s *stage) {
	release := make(chan struct{})
	s.serve(func(context.Context, *consumer.Delivery) consumer.Outcome {
		<-release
		return success(`"late"`)
	})
	c := s.client(caller.Config{})
	call := unsafe(`[]`)
	call.ID, call.Timeout = uuid.New(), 200*time.Millisecond
	began := time.Now()
	_, err := c.Do(s.ctx, call)
	require.ErrorIs(s.t, err, caller.ErrTimeout)
	assert.Less(s.t, time.Since(began), 5*time.Second)
	close(release)
	s.eventually("the late outcome is stored", func() bool { return s.record(call.ID.String())["state"] == wire.StateDone })
	reply, err := c.Do(s.ctx, call)
	require.NoError(s.t, err)
	assert.Equal(s.t, `{"ok":true,"result":"late"}`, reply.Envelope)
}

func expiredDoesNotRun(s *stage) {
	c := s.client(caller.Config{})
	call, other := unsafe(`[]`), safe(`[]`)
	call.ID = uuid.New()
	call.Timeout, other.Timeout = time.Millisecond, time.Millisecond
	_, err := c.Do(s.ctx, call)
	require.ErrorIs(s.t, err, caller.ErrTimeout)
	_, err = c.Do(s.ctx, other)
	require.ErrorIs(s.t, err, caller.ErrTimeout)
	s.eventually("both requests lie in the mailbox", func() bool {
		return s.rdb.XLen(s.ctx, s.conn.Keys.Requests("things")).Val() == 2
	})
	s.pass()
	var runs counter
	s.serve(func(ctx context.Context, d *consumer.Delivery) consumer.Outcome {
		runs.add(d.Request.ID)
		return echo(ctx, d)
	})
	s.empty()
	assert.Equal(s.t, wire.StateExpired, s.record(call.ID.String())["state"])
	assert.Zero(s.t, runs.total())
	assert.Empty(s.t, s.deadLetters(), "it never ran, so that it is no dead letter")
}

// A lost safe request has changed nothing: it is no dead letter, unless it was lost more
// than once.
func expiredRead(s *stage) {
	c := s.client(caller.Config{})
	call := safe(`[]`)
	call.Timeout = time.Millisecond
	_, err := c.Do(s.ctx, call)
	require.ErrorIs(s.t, err, caller.ErrTimeout)
	s.take()
	s.pass()
	var runs counter
	s.serve(func(ctx context.Context, d *consumer.Delivery) consumer.Outcome {
		runs.add(d.Request.ID)
		return echo(ctx, d)
	})
	s.empty()
	assert.Zero(s.t, runs.total())
	assert.Empty(s.t, s.deadLetters())
}

func expiredFreesID(s *stage) {
	c := s.client(caller.Config{})
	call := unsafe(`[]`)
	call.ID, call.Timeout = uuid.New(), time.Millisecond
	_, err := c.Do(s.ctx, call)
	require.ErrorIs(s.t, err, caller.ErrTimeout)
	s.pass()
	s.serve(echo)
	s.eventually("it has expired", func() bool { return s.record(call.ID.String())["state"] == wire.StateExpired })
	call.Timeout = patience
	reply, err := c.Do(s.ctx, call)
	require.NoError(s.t, err)
	assert.Equal(s.t, `{"ok":true,"result":[]}`, reply.Envelope)
}

func expiredSentAgain(s *stage) {
	patient, hasty := unsafe(`[]`), unsafe(`[]`)
	hasty.ID, hasty.Timeout = uuid.New(), time.Millisecond
	patient.ID = hasty.ID
	_, err := s.client(caller.Config{}).Do(s.ctx, hasty)
	require.ErrorIs(s.t, err, caller.ErrTimeout)
	answered := s.call(s.client(caller.Config{}), patient)
	s.eventually("both wait for one request", func() bool {
		return len(strings.Fields(s.record(hasty.ID.String())["channels"])) == 2
	})
	s.pass()
	s.serve(echo)
	assert.Equal(s.t, `{"ok":true,"result":[]}`, <-answered)
}

func fullMailboxRefuses(s *stage) {
	c := s.client(caller.Config{MailboxLimit: 3})
	mailbox := s.conn.Keys.Requests("things")
	for i := range 3 {
		_, err := c.Send(s.ctx, unsafe(number(i)))
		require.NoError(s.t, err)
	}
	for i := range 3 {
		_, err := c.Do(s.ctx, unsafe(number(3+i)))
		require.ErrorIs(s.t, err, caller.ErrOverloaded)
		require.EqualValues(s.t, 3, s.rdb.XLen(s.ctx, mailbox).Val())
	}
	_, err := c.Do(s.ctx, safe(`[]`))
	require.ErrorIs(s.t, err, caller.ErrOverloaded)
}

func longReply(s *stage) {
	long := `"` + strings.Repeat("x", wire.LargeReply) + `"`
	s.serve(func(context.Context, *consumer.Delivery) consumer.Outcome { return success(long) })
	c := s.client(caller.Config{})
	for _, call := range []*caller.Call{safe(`[]`), unsafe(`[]`)} {
		call.ID = uuid.New()
		reply, err := c.Do(s.ctx, call)
		require.NoError(s.t, err)
		require.Equal(s.t, `{"ok":true,"result":`+long+`}`, reply.Envelope)
		assert.Contains(s.t, reply.Meta, "stored=1")
		ttl, err := s.rdb.PTTL(s.ctx, s.conn.Keys.Record("things", call.ID.String())).Result()
		require.NoError(s.t, err)
		if call.Safe {
			assert.Negative(s.t, ttl, "the only reader has it")
		} else {
			assert.Positive(s.t, ttl)
		}
	}
	s.empty()
}

func tooLongReply(s *stage) {
	s.serve(func(context.Context, *consumer.Delivery) consumer.Outcome {
		return success(`"` + strings.Repeat("x", wire.MaxReply) + `"`)
	})
	reply, err := s.client(caller.Config{}).Do(s.ctx, unsafe(`[]`))
	require.NoError(s.t, err)
	assert.Equal(s.t, wire.CodeInternal, open(s.t, reply).Error.Code)
	s.empty()
}
