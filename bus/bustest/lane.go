package bustest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus/admin"
	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/consumer"
	"github.com/oskadev/mailroom/bus/wire"
)

// laned returns an unsafe call in a lane, with its own ID.
func laned(lane, args string) *caller.Call {
	call := unsafe(args)
	call.Lane, call.ID = lane, uuid.New()
	return call
}

// turns records which requests run at once, and in which order.
type turns struct {
	mu      sync.Mutex
	running map[string]int
	crossed int // how often two requests of one lane ran at once
	order   map[string][]string
}

func (t *turns) begin(d *consumer.Delivery) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.running == nil {
		t.running, t.order = make(map[string]int), make(map[string][]string)
	}
	lane := d.Request.Lane
	if t.running[lane]++; t.running[lane] > 1 {
		t.crossed++
	}
	t.order[lane] = append(t.order[lane], d.Request.Args)
}

func (t *turns) end(d *consumer.Delivery) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.running[d.Request.Lane]--
}

func (t *turns) run(ctx context.Context, d *consumer.Delivery) consumer.Outcome {
	t.begin(d)
	defer t.end(d)
	return echo(ctx, d)
}

func (t *turns) ran(lane string) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]string(nil), t.order[lane]...)
}

// send sends a request without waiting for its outcome.
func (s *stage) send(c *caller.Client, call *caller.Call) string {
	s.t.Helper()
	id, err := c.Send(s.ctx, call)
	require.NoError(s.t, err)
	return id.String()
}

func (s *stage) waiting() int64 {
	s.t.Helper()
	stats, err := admin.ReadStats(s.ctx, s.conn, "things")
	require.NoError(s.t, err)
	return stats.Waiting
}

// idle checks that lanes have left no keys.
func (s *stage) idle(lanes ...string) {
	s.t.Helper()
	s.empty()
	keys := []string{s.conn.Keys.Waiting("things")}
	for _, lane := range lanes {
		keys = append(keys, s.conn.Keys.Lane("things", lane))
	}
	found, err := s.rdb.Exists(s.ctx, keys...).Result()
	require.NoError(s.t, err)
	assert.Zero(s.t, found, "an idle lane has no key")
}

// oneAtATime: the requests of one lane run one at a time in the order accepted, on
// any worker; every caller gets its own answer.
func oneAtATime(s *stage) {
	var seen turns
	c := s.client(caller.Config{})
	const lanes, each = 5, 20
	var ids []string
	names := make([]string, lanes)
	for i := range each {
		for lane := range lanes {
			names[lane] = fmt.Sprintf("item:%d", lane)
			ids = append(ids, s.send(c, laned(names[lane], number(i))))
		}
	}
	assert.EqualValues(s.t, lanes*(each-1), s.waiting())
	found, err := admin.Lanes(s.ctx, s.conn, "things")
	require.NoError(s.t, err)
	require.Len(s.t, found, lanes)
	assert.Equal(s.t, admin.Lane{Key: "item:0", Turn: ids[0], Waiting: each - 1}, found[0])
	stats, err := admin.ReadStats(s.ctx, s.conn, "things")
	require.NoError(s.t, err)
	assert.EqualValues(s.t, lanes, stats.Backlog, "one of each lane is in the mailbox")

	var answers []<-chan string
	for range 3 {
		s.serve(seen.run)
	}
	for i := range 30 {
		answers = append(answers, s.call(s.client(caller.Config{}), laned(names[i%lanes], number(each+i/lanes))))
	}
	for i, answered := range answers {
		assert.Equal(s.t, fmt.Sprintf(`{"ok":true,"result":[%d]}`, each+i/lanes), <-answered)
	}
	s.idle(names...)
	assert.Zero(s.t, seen.crossed)
	for _, lane := range names {
		ran := seen.ran(lane)
		require.Len(s.t, ran, each+30/lanes)
		for i := range each {
			assert.Equal(s.t, number(i), ran[i])
		}
	}
	for _, id := range ids {
		assert.Equal(s.t, wire.StateDone, s.record(id)["state"])
	}
}

// lanesPassEachOther: a lane that hangs delays neither other lanes nor requests without one.
func lanesPassEachOther(s *stage) {
	release := make(chan struct{})
	s.serve(func(ctx context.Context, d *consumer.Delivery) consumer.Outcome {
		if d.Request.Lane == "slow" {
			<-release
		}
		return echo(ctx, d)
	}, func(c *consumer.Config) { c.Concurrency = 2 })
	c := s.client(caller.Config{})
	var slow []<-chan string
	for i := range 10 {
		slow = append(slow, s.call(c, laned("slow", number(i))))
	}
	s.eventually("one runs, the others wait", func() bool { return s.waiting() == 9 })
	for i, call := range []*caller.Call{laned("fast", `[1]`), unsafe(`[2]`), safe(`[3]`)} {
		reply, err := c.Do(s.ctx, call)
		require.NoError(s.t, err)
		assert.Equal(s.t, fmt.Sprintf(`{"ok":true,"result":[%d]}`, i+1), reply.Envelope)
	}
	close(release)
	for i, answered := range slow {
		assert.Equal(s.t, fmt.Sprintf(`{"ok":true,"result":[%d]}`, i), <-answered)
	}
	s.idle("slow", "fast")
}

// safeInALane: a safe request in a lane waits for its turn, and its outcome is stored like
// that of every request in a lane.
func safeInALane(s *stage) {
	var seen turns
	s.serve(seen.run)
	call := laned("item:1", `[1]`)
	call.Safe = true
	reply, err := s.client(caller.Config{}).Do(s.ctx, call)
	require.NoError(s.t, err)
	assert.Equal(s.t, `{"ok":true,"result":[1]}`, reply.Envelope)
	assert.Equal(s.t, wire.StateDone, s.record(call.ID.String())["state"])
	assert.Equal(s.t, []string{`[1]`}, seen.ran("item:1"))
	s.idle("item:1")
}

// turnOfADeadWorker: the request of a dead worker keeps its turn.
func turnOfADeadWorker(s *stage) {
	c := s.client(caller.Config{})
	begun := make(chan struct{}, 1)
	gone := s.serve(func(ctx context.Context, _ *consumer.Delivery) consumer.Outcome {
		begun <- struct{}{}
		<-ctx.Done()
		return consumer.Retry() // like a worker that died
	}, func(c *consumer.Config) { c.DrainLimit = time.Millisecond })
	var ids []string
	for i := range 3 {
		ids = append(ids, s.send(c, laned("item:1", number(i))))
	}
	<-begun
	require.NoError(s.t, gone.stop())
	assert.EqualValues(s.t, 2, s.waiting())
	var seen turns
	s.serve(seen.run)
	s.idle("item:1")
	assert.Equal(s.t, []string{`[0]`, `[1]`, `[2]`}, seen.ran("item:1"))
	for _, id := range ids {
		assert.Equal(s.t, wire.StateDone, s.record(id)["state"])
	}
}

// deadEndsItsTurn: a dead letter releases the next request of its lane. When it is
// replayed, it waits at the end of the lane.
func deadEndsItsTurn(s *stage) {
	c := s.client(caller.Config{})
	var seen turns
	var poison sync.Map
	release := make(chan struct{}, 1)
	s.serve(func(ctx context.Context, d *consumer.Delivery) consumer.Outcome {
		if _, bad := poison.Load(d.Request.ID); bad {
			return consumer.Retry()
		}
		if argument(d) == 2 {
			<-release
		}
		return seen.run(ctx, d)
	}, func(c *consumer.Config) { c.MaxAttempts = 1 })
	bad := laned("item:1", `[0]`)
	poison.Store(bad.ID.String(), true)
	bad.Endless = true
	_, err := c.Do(s.ctx, bad)
	require.NoError(s.t, err)
	s.idle("item:1")

	s.send(c, laned("item:1", `[2]`))
	s.send(c, laned("item:1", `[3]`))
	poison.Delete(bad.ID.String())
	letter, err := admin.FindDeadLetter(s.ctx, s.conn, "things", bad.ID.String())
	require.NoError(s.t, err)
	became, err := admin.ReplayDeadLetter(s.ctx, s.conn, "things", letter)
	require.NoError(s.t, err)
	assert.Equal(s.t, admin.LetterReplayed, became)
	assert.EqualValues(s.t, 2, s.waiting())
	record, err := caller.FindRecord(s.ctx, s.conn, "things", bad.ID.String())
	require.NoError(s.t, err)
	assert.Equal(s.t, wire.StateQueued, record.State)
	release <- struct{}{}
	s.idle("item:1")
	assert.Equal(s.t, []string{`[2]`, `[3]`, `[0]`}, seen.ran("item:1"))
	assert.Equal(s.t, wire.StateDone, s.record(bad.ID.String())["state"])
}

// expiredInALane: a request that waits past its deadline never runs and blocks no other,
// unless a caller with a later deadline has joined it.
func expiredInALane(s *stage) {
	c := s.client(caller.Config{})
	s.send(c, laned("item:1", `[0]`))
	late := laned("item:1", `[1]`)
	late.Timeout = 200 * time.Millisecond
	joined := laned("item:1", `[2]`)
	joined.Timeout, joined.Shared = late.Timeout, true
	_, err := c.Do(s.ctx, late)
	require.ErrorIs(s.t, err, caller.ErrTimeout)
	_, err = c.Do(s.ctx, joined)
	require.ErrorIs(s.t, err, caller.ErrTimeout)
	again := *joined
	again.Timeout = patience
	answered := s.call(s.client(caller.Config{}), &again)
	s.eventually("it is joined", func() bool { return len(s.channels(joined.ID)) == 2 })
	s.send(c, laned("item:1", `[3]`))
	s.pass()
	var seen turns
	s.serve(seen.run)
	assert.Equal(s.t, `{"ok":true,"result":[2]}`, <-answered)
	s.idle("item:1")
	assert.Equal(s.t, []string{`[0]`, `[2]`, `[3]`}, seen.ran("item:1"))
	record, err := caller.FindRecord(s.ctx, s.conn, "things", late.ID.String())
	require.NoError(s.t, err)
	assert.Equal(s.t, wire.StateExpired, record.State)
}

// manyExpiredInALane: more requests have expired than one step ends.
func manyExpiredInALane(s *stage) {
	c := s.client(caller.Config{})
	s.send(c, laned("item:1", `[0]`))
	for range 250 {
		late := laned("item:1", `[1]`)
		late.Timeout = 50 * time.Millisecond
		s.send(c, late)
	}
	s.pass()
	s.send(c, laned("item:1", `[2]`))
	var seen turns
	s.serve(seen.run)
	s.idle("item:1")
	assert.Equal(s.t, []string{`[0]`, `[2]`}, seen.ran("item:1"))
}

// cancelledInALane: a request that waits for its turn, or has it but was not read, can be
// cancelled; the others go on.
func cancelledInALane(s *stage) {
	c := s.client(caller.Config{})
	first, second := laned("item:1", `[0]`), laned("item:1", `[1]`)
	cancel := []<-chan string{s.call(c, first)}
	s.eventually("it is accepted", func() bool { return s.record(first.ID.String())["state"] == wire.StateQueued })
	cancel = append(cancel, s.call(c, second))
	s.eventually("it waits", func() bool { return s.waiting() == 1 })
	third := s.call(c, laned("item:1", `[2]`))
	s.eventually("it waits too", func() bool { return s.waiting() == 2 })
	for i, call := range []*caller.Call{second, first} {
		record, err := caller.Cancel(s.ctx, s.conn, "things", call.ID.String())
		require.NoError(s.t, err)
		assert.Equal(s.t, wire.StateCancelled, record.State)
		assert.Contains(s.t, <-cancel[1-i], wire.CodeConflict)
	}
	assert.Zero(s.t, s.waiting())
	var seen turns
	s.serve(seen.run)
	assert.Equal(s.t, `{"ok":true,"result":[2]}`, <-third)
	s.idle("item:1")
	assert.Equal(s.t, []string{`[2]`}, seen.ran("item:1"))
}

// sharedInALane: one ID that several callers send while it waits runs once. All callers get
// its outcome from the reply, not by a later read of the record.
func sharedInALane(s *stage) {
	release := make(chan struct{})
	var runs counter
	s.serve(func(ctx context.Context, d *consumer.Delivery) consumer.Outcome {
		runs.add(d.Request.ID)
		if argument(d) == 0 {
			<-release
		}
		return echo(ctx, d)
	})
	clients := []*caller.Client{s.client(caller.Config{}), s.client(caller.Config{})}
	s.send(clients[0], laned("item:1", `[0]`))
	call := laned("item:1", `[1]`)
	call.Shared = true
	var answers []<-chan string
	for i := range 4 {
		answers = append(answers, s.call(clients[i%2], call))
	}
	s.eventually("both gateways wait for it", func() bool { return len(s.channels(call.ID)) == 2 })
	other := *call
	other.Args = `[2]`
	_, err := clients[0].Do(s.ctx, &other)
	require.ErrorIs(s.t, err, caller.ErrKeyReused)
	close(release)
	for _, answered := range answers {
		assert.Equal(s.t, `{"ok":true,"result":[1]}`, <-answered)
	}
	assert.Equal(s.t, 2, runs.total())
	s.idle("item:1")
}
