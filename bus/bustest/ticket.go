package bustest

import (
	"context"
	"strings"
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

// sharedIDRunsOnce sends one ID many times at once, within and across gateways, some
// with another request. All callers with an equal request get the same outcome. The
// others get an error, never that outcome.
func sharedIDRunsOnce(s *stage) {
	var runs counter
	release := make(chan struct{})
	s.serve(func(ctx context.Context, d *consumer.Delivery) consumer.Outcome {
		runs.add(d.Request.ID)
		<-release
		return echo(ctx, d)
	})
	id := uuid.New()
	shared := func(args string) *caller.Call {
		call := unsafe(args)
		call.ID, call.Shared = id, true
		return call
	}
	clients := []*caller.Client{s.client(caller.Config{}), s.client(caller.Config{})}
	first := s.call(clients[0], shared(`["pay"]`))
	s.eventually("it runs", func() bool { return runs.total() == 1 })
	var calling sync.WaitGroup
	for i := range 40 {
		c := clients[i%2]
		if i%4 < 2 {
			calling.Go(func() {
				reply, err := c.Do(s.ctx, shared(`["pay"]`))
				if assert.NoError(s.t, err) {
					assert.Equal(s.t, `{"ok":true,"result":["pay"]}`, reply.Envelope)
				}
			})
			continue
		}
		calling.Go(func() {
			_, err := c.Do(s.ctx, shared(`["pay twice"]`))
			assert.ErrorIs(s.t, err, caller.ErrKeyReused)
		})
	}
	s.eventually("both gateways wait for it", func() bool { return len(s.channels(id)) == 2 })
	close(release)
	calling.Wait()
	assert.Equal(s.t, `{"ok":true,"result":["pay"]}`, <-first)
	reply, err := clients[1].Do(s.ctx, shared(`["pay"]`))
	require.NoError(s.t, err)
	assert.True(s.t, reply.Replayed)
	assert.Equal(s.t, `{"ok":true,"result":["pay"]}`, reply.Envelope)
	assert.Equal(s.t, 1, runs.total())
	s.empty()
}

func sentIsAccepted(s *stage) {
	c := s.client(caller.Config{})
	_, err := c.Send(s.ctx, safe(`[]`))
	require.Error(s.t, err, "nothing would be kept of it")
	call := unsafe(`[1]`)
	call.Endless = true
	id, err := c.Send(s.ctx, call)
	require.NoError(s.t, err)
	entries, err := s.rdb.XRange(s.ctx, s.conn.Keys.Requests("things"), "-", "+").Result()
	require.NoError(s.t, err)
	require.Len(s.t, entries, 1)
	assert.Empty(s.t, entries[0].Values["deadline"])
	assert.Empty(s.t, entries[0].Values["reply"])
	record, err := caller.FindRecord(s.ctx, s.conn, "things", id.String())
	require.NoError(s.t, err)
	assert.Equal(s.t, wire.StateQueued, record.State)

	// Several clients may watch one request at once.
	watchers := []*caller.Client{c, s.client(caller.Config{})}
	watchers = append(watchers, watchers...)
	watchings := make([]*caller.Watching, len(watchers))
	for i, w := range watchers {
		watchings[i], record, err = w.Watch(s.ctx, "things", id.String())
		require.NoError(s.t, err)
		require.Equal(s.t, wire.StateQueued, record.State)
		ended, err := watchings[i].Wait(s.ctx, time.Millisecond)
		require.NoError(s.t, err)
		require.False(s.t, ended)
	}
	watchings[3].Close()
	s.serve(echo)
	for _, watching := range watchings[:3] {
		ended, err := watching.Wait(s.ctx, patience)
		require.NoError(s.t, err)
		require.True(s.t, ended)
		watching.Close()
	}
	record, err = caller.FindRecord(s.ctx, s.conn, "things", id.String())
	require.NoError(s.t, err)
	assert.Equal(s.t, wire.StateDone, record.State)
	assert.Equal(s.t, `{"ok":true,"result":[1]}`, record.Outcome)
	watching, record, err := c.Watch(s.ctx, "things", id.String())
	require.NoError(s.t, err)
	assert.Nil(s.t, watching, "there is nothing to wait for")
	assert.Equal(s.t, wire.StateDone, record.State)
	_, _, err = c.Watch(s.ctx, "things", uuid.NewString())
	require.ErrorIs(s.t, err, caller.ErrNoRecord)
	s.empty()
}

// watcherFindsOut ends a request without a message.
func watcherFindsOut(s *stage) {
	c := s.client(caller.Config{})
	id, err := c.Send(s.ctx, unsafe(`[1]`))
	require.NoError(s.t, err)
	watching, _, err := c.Watch(s.ctx, "things", id.String())
	require.NoError(s.t, err)
	defer watching.Close()
	require.NoError(s.t, s.rdb.HSet(s.ctx, s.conn.Keys.Record("things", id.String()), "state", wire.StateDone, "outcome", `- {"ok":true}`).Err())
	ended, err := watching.Wait(s.ctx, patience)
	require.NoError(s.t, err)
	assert.True(s.t, ended)
}

func cancelled(s *stage) {
	c := s.client(caller.Config{})
	call := unsafe(`[1]`)
	call.ID = uuid.New()
	answered := s.call(c, call)
	s.eventually("it is accepted", func() bool { return s.record(call.ID.String())["state"] == wire.StateQueued })
	watching, _, err := c.Watch(s.ctx, "things", call.ID.String())
	require.NoError(s.t, err)
	for range 2 { // the second finds it done
		record, err := caller.Cancel(s.ctx, s.conn, "things", call.ID.String())
		require.NoError(s.t, err)
		assert.Equal(s.t, wire.StateCancelled, record.State)
	}
	assert.Contains(s.t, <-answered, wire.CodeConflict)
	ended, err := watching.Wait(s.ctx, patience)
	require.NoError(s.t, err)
	assert.True(s.t, ended)
	watching.Close()
	ttl, err := s.rdb.PTTL(s.ctx, s.conn.Keys.Record("things", call.ID.String())).Result()
	require.NoError(s.t, err)
	assert.Positive(s.t, ttl)
	_, err = caller.Cancel(s.ctx, s.conn, "things", uuid.NewString())
	require.ErrorIs(s.t, err, caller.ErrNoRecord)

	// It never ran: its ID is free.
	var runs counter
	release := make(chan struct{})
	s.serve(func(ctx context.Context, d *consumer.Delivery) consumer.Outcome {
		runs.add(d.Request.ID)
		<-release
		return echo(ctx, d)
	})
	answered = s.call(c, call)
	s.eventually("it runs", func() bool { return runs.total() == 1 })
	record, err := caller.Cancel(s.ctx, s.conn, "things", call.ID.String())
	require.NoError(s.t, err)
	assert.Equal(s.t, wire.StateCancelling, record.State, "its handler is told to stop")
	close(release)
	assert.Equal(s.t, `{"ok":true,"result":[1]}`, <-answered, "and may have an outcome all the same")
	record, err = caller.Cancel(s.ctx, s.conn, "things", call.ID.String())
	require.NoError(s.t, err)
	assert.Equal(s.t, wire.StateDone, record.State)
	s.empty()
}

// joinedOutlivesItsDeadline sends an ID again that has a deadline, without one:
// the request runs at any time.
func joinedOutlivesItsDeadline(s *stage) {
	c := s.client(caller.Config{})
	call := unsafe(`[1]`)
	call.ID, call.Shared, call.Timeout = uuid.New(), true, 200*time.Millisecond
	_, err := c.Do(s.ctx, call)
	require.ErrorIs(s.t, err, caller.ErrTimeout)
	endless := *call
	endless.Endless = true
	id, err := c.Send(s.ctx, &endless)
	require.NoError(s.t, err)
	require.Equal(s.t, call.ID, id)
	watching, _, err := s.client(caller.Config{}).Watch(s.ctx, "things", id.String())
	require.NoError(s.t, err)
	defer watching.Close()
	s.pass()
	s.serve(echo)
	ended, err := watching.Wait(s.ctx, patience)
	require.NoError(s.t, err)
	require.True(s.t, ended)
	record, err := caller.FindRecord(s.ctx, s.conn, "things", id.String())
	require.NoError(s.t, err)
	assert.Equal(s.t, wire.StateDone, record.State)
	assert.Equal(s.t, `{"ok":true,"result":[1]}`, record.Outcome)
	s.empty()
}

// sentAnewKeepsWatchers: the watchers of a request that never ran keep watching when it
// is sent again.
func sentAnewKeepsWatchers(s *stage) {
	c := s.client(caller.Config{})
	call := unsafe(`[1]`)
	call.ID = uuid.New()
	elsewhere := s.conn.Keys.Replies("api.elsewhere", "things")
	key := s.conn.Keys.Record("things", call.ID.String())
	require.NoError(s.t, s.rdb.HSet(s.ctx, key, "state", wire.StateExpired, "channels", elsewhere).Err())
	answered := s.call(c, call)
	s.eventually("it is accepted anew", func() bool { return s.record(call.ID.String())["state"] == wire.StateQueued })
	assert.ElementsMatch(s.t, []string{s.conn.Keys.Replies(c.ID(), "things"), elsewhere}, s.channels(call.ID))
	s.serve(echo)
	assert.Equal(s.t, `{"ok":true,"result":[1]}`, <-answered)
}

// replayedIsNotCancelled: a dead letter that is replayed may have had effects,
// so that it cannot be cancelled.
func replayedIsNotCancelled(s *stage) {
	c := s.client(caller.Config{})
	w := s.serve(func(context.Context, *consumer.Delivery) consumer.Outcome { return consumer.Retry() },
		func(c *consumer.Config) { c.MaxAttempts = 1 })
	call := unsafe(`[1]`)
	call.ID = uuid.New()
	_, err := c.Do(s.ctx, call)
	require.NoError(s.t, err)
	require.NoError(s.t, w.stop())
	letter, err := admin.FindDeadLetter(s.ctx, s.conn, "things", call.ID.String())
	require.NoError(s.t, err)
	_, err = admin.ReplayDeadLetter(s.ctx, s.conn, "things", letter)
	require.NoError(s.t, err)
	record, err := caller.Cancel(s.ctx, s.conn, "things", call.ID.String())
	require.NoError(s.t, err)
	assert.Equal(s.t, wire.StateQueued, record.State)
	s.serve(echo)
	s.eventually("it runs", func() bool { return s.record(call.ID.String())["state"] == wire.StateDone })
}

// cancelledWhileItRuns: the handler's context ends, its caller gets CONFLICT, and the ID is
// free.
func cancelledWhileItRuns(s *stage) {
	c := s.client(caller.Config{})
	call := unsafe(`[1]`)
	call.ID, call.Lane = uuid.New(), "one"
	var runs counter
	s.serve(func(ctx context.Context, d *consumer.Delivery) consumer.Outcome {
		if runs.add(d.Request.ID); runs.total() > 1 {
			return echo(ctx, d)
		}
		<-ctx.Done()
		assert.Equal(s.t, consumer.ErrCancelled, context.Cause(ctx))
		return consumer.Cancelled()
	})
	answered := s.call(c, call)
	s.eventually("it runs", func() bool { return runs.total() == 1 })
	record, err := caller.Cancel(s.ctx, s.conn, "things", call.ID.String())
	require.NoError(s.t, err)
	assert.Equal(s.t, wire.StateCancelling, record.State)
	answer := <-answered
	assert.Contains(s.t, answer, wire.CodeConflict)
	assert.Contains(s.t, answer, `"began":true`)
	record, err = caller.FindRecord(s.ctx, s.conn, "things", call.ID.String())
	require.NoError(s.t, err)
	assert.Equal(s.t, wire.StateCancelled, record.State)
	s.idle("one")
	s.empty()
	assert.Equal(s.t, `{"ok":true,"result":[1]}`, <-s.call(c, call), "sent again, it runs again")
}

// reportsProgress: callers and watchers get reports, the record keeps the last, and a
// report does not end the wait.
func reportsProgress(s *stage) {
	c := s.client(caller.Config{})
	var began counter
	release := make(chan struct{})
	s.serve(func(ctx context.Context, d *consumer.Delivery) consumer.Outcome {
		report := func(text string, accepted bool) {
			assert.Equal(s.t, accepted, d.Progress(ctx, []byte(text)) == nil, "%.20s", text)
		}
		began.add(d.Request.ID)
		<-release
		report(`{"done":1}`, true)
		<-release
		for range 100 { // the last of many counts
			report(`{"done":2}`, true)
		}
		report(`{"done":3}`, true)
		<-release
		report(strings.Repeat("1", consumer.MaxProgress+1), false)
		report("1\n2", false)
		return echo(ctx, d)
	})
	for _, call := range []*caller.Call{unsafe(`[1]`), safe(`[1]`)} {
		call.ID = uuid.New()
		reports := make(chan string, 100)
		call.Progress = func(text string) { reports <- text }
		before := began.total()
		answered := s.call(c, call)
		s.eventually("it runs", func() bool { return began.total() == before+1 })
		var watching *caller.Watching
		if !call.Safe {
			var err error
			watching, _, err = s.client(caller.Config{}).Watch(s.ctx, "things", call.ID.String())
			require.NoError(s.t, err)
		}
		release <- struct{}{}
		assert.Equal(s.t, `{"done":1}`, <-reports)
		release <- struct{}{}
		for <-reports != `{"done":3}` {
		}
		if watching != nil {
			_, progress, err := watching.Next(s.ctx, patience)
			require.NoError(s.t, err)
			assert.Contains(s.t, progress, `{"done":`)
			record, err := caller.FindRecord(s.ctx, s.conn, "things", call.ID.String())
			require.NoError(s.t, err)
			assert.Equal(s.t, `{"done":3}`, record.Progress)
			watching.Close()
		}
		release <- struct{}{}
		assert.Equal(s.t, `{"ok":true,"result":[1]}`, <-answered)
	}
	s.empty()
}
