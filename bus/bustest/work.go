package bustest

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/consumer"
	"github.com/oskadev/mailroom/bus/wire"
)

// call calls in the background and delivers the envelope, or the error as text.
func (s *stage) call(c *caller.Client, a *caller.Call) <-chan string {
	answered := make(chan string, 1)
	go func() {
		reply, err := c.Do(s.ctx, a)
		if err != nil {
			reply.Envelope = err.Error()
		}
		answered <- reply.Envelope
	}()
	return answered
}

func notRequests(s *stage) {
	mailbox := s.conn.Keys.Requests("things")
	add := func(values ...string) {
		require.NoError(s.t, s.rdb.XAdd(s.ctx, &redis.XAddArgs{Stream: mailbox, Values: values}).Err())
	}
	id := func() string { return uuid.NewString() }
	// These cannot be answered.
	add("hello", "world")
	add("v", "1", "id", "no-uuid", "action", "DO", "args", "[]")
	add("v", "1", "id", id(), "action", "DO", "args", "[broken", "reply", "")
	add("v", "1", "id", id(), "action", "DO", "args", "{}", "store", "60000")
	add("v", "1", "id", id(), "action", "DO", "args", "[]", "deadline", "soon")
	add("v", "2", "id", id(), "action", "DO", "args", "[]")
	wide := []string{"v", "1"}
	for range 3000 {
		wide = append(wide, "x", "y")
	}
	add(wide...)
	const unanswerable = 7
	// These have a reply channel.
	channel := s.conn.Keys.Replies("api.x", "things")
	pubsub := s.rdb.Subscribe(s.ctx, channel)
	defer func() { _ = pubsub.Close() }()
	_, err := pubsub.Receive(s.ctx)
	require.NoError(s.t, err)
	add("v", "2", "id", id(), "action", "DO", "args", "[]", "reply", channel)
	add("v", "1", "id", id(), "action", "DO", "args", "[broken", "reply", channel)
	add("v", "1", "id", id(), "args", "[]", "reply", channel, "store", "60000")

	s.serve(echo)
	s.empty()
	letters := s.deadLetters()
	assert.Len(s.t, letters, unanswerable)
	for _, letter := range letters {
		assert.NotEmpty(s.t, letter.Values["error"])
		assert.NotEmpty(s.t, letter.Values["dead_at"])
		assert.Equal(s.t, "1", letter.Values["attempts"])
	}
	var told string
	for countLines(told) < 3 {
		message, err := pubsub.ReceiveMessage(s.ctx)
		require.NoError(s.t, err)
		told += message.Payload
	}
	assert.Contains(s.t, told, wire.CodeNotSupported)
	assert.Contains(s.t, told, wire.CodeBadRequest)
	reply, err := s.client(caller.Config{}).Do(s.ctx, safe(`[1]`))
	require.NoError(s.t, err)
	assert.Equal(s.t, `{"ok":true,"result":[1]}`, reply.Envelope)
}

func deadWorkersRequests(s *stage) {
	c := s.client(caller.Config{})
	replies := []<-chan string{s.call(c, safe(`[1]`)), s.call(c, unsafe(`[2]`))}
	s.take()
	s.take()
	attempts := make(chan int, 2)
	s.serve(func(ctx context.Context, d *consumer.Delivery) consumer.Outcome {
		attempts <- d.Attempt
		return echo(ctx, d)
	})
	assert.Equal(s.t, `{"ok":true,"result":[1]}`, <-replies[0])
	assert.Equal(s.t, `{"ok":true,"result":[2]}`, <-replies[1])
	assert.Equal(s.t, 2, <-attempts)
	assert.Equal(s.t, 2, <-attempts)
	s.empty()
}

// manyOfADeadWorker: a dead worker leaves more than one page of pending entries.
func manyOfADeadWorker(s *stage) {
	c := s.client(caller.Config{})
	replies := make([]<-chan string, 250)
	for i := range replies {
		replies[i] = s.call(c, unsafe(number(i)))
	}
	for range replies {
		s.take()
	}
	s.serve(echo, func(c *consumer.Config) { c.Concurrency = len(replies) })
	for i := range replies {
		assert.Equal(s.t, `{"ok":true,"result":`+number(i)+`}`, <-replies[i])
	}
	s.empty()
	assert.NotContains(s.t, s.logs.String(), "cannot read the mailbox")
}

// settledTogether settles the first and the last of many requests in one batch while the
// others are still running.
func settledTogether(s *stage) {
	const many = 60
	settling, settle := make(chan struct{}), make(chan struct{})
	var plugged sync.Once
	hook := func(step bus.Step, _ string) {
		if step == bus.StepSettle {
			plugged.Do(func() { close(settling); <-settle })
		}
	}
	begun := make(chan struct{}, many)
	var ends [many]chan struct{}
	for i := range ends {
		ends[i] = make(chan struct{})
	}
	ran := make(chan struct{}, many)
	s.serveHooked(hook, func(ctx context.Context, d *consumer.Delivery) consumer.Outcome {
		begun <- struct{}{}
		<-ends[argument(d)]
		defer func() { ran <- struct{}{} }()
		return echo(ctx, d)
	})
	c := s.client(caller.Config{})
	replies := make([]<-chan string, many)
	for i := range replies { // one after the other, so that their entries are in order
		replies[i] = s.call(c, unsafe(number(i)))
		<-begun
	}
	close(ends[1]) // blocks the settler
	<-settling
	for _, i := range []int{0, many - 1} {
		close(ends[i])
	}
	for range 3 {
		<-ran
	}
	close(settle)
	for _, i := range []int{0, 1, many - 1} {
		assert.Equal(s.t, `{"ok":true,"result":`+number(i)+`}`, <-replies[i])
	}
	for i := 2; i < many-1; i++ {
		close(ends[i])
		assert.Equal(s.t, `{"ok":true,"result":`+number(i)+`}`, <-replies[i])
	}
	s.empty()
}

func noOutcomeAgain(s *stage) {
	var runs counter
	s.serve(func(ctx context.Context, d *consumer.Delivery) consumer.Outcome {
		if runs.add(d.Request.ID) < 3 {
			return consumer.Retry()
		}
		return echo(ctx, d)
	})
	reply, err := s.client(caller.Config{}).Do(s.ctx, unsafe(`[1]`))
	require.NoError(s.t, err)
	meta, err := wire.ParseReplyMeta(reply.Meta)
	require.NoError(s.t, err)
	assert.Equal(s.t, 3, meta.Attempt)
	assert.Equal(s.t, 3, runs.total())
	s.empty()
}

func tooOften(s *stage) {
	var runs counter
	s.serve(func(_ context.Context, d *consumer.Delivery) consumer.Outcome {
		runs.add(d.Request.ID)
		return consumer.Retry()
	}, func(c *consumer.Config) { c.MaxAttempts = 2 })
	c := s.client(caller.Config{})
	call := unsafe(`[1]`)
	call.ID = uuid.New()
	reply, err := c.Do(s.ctx, call)
	require.NoError(s.t, err)
	e := open(s.t, reply)
	assert.Equal(s.t, wire.CodeInternal, e.Error.Code)
	assert.JSONEq(s.t, `{"state":"dead"}`, string(e.Error.Details))
	meta, err := wire.ParseReplyMeta(reply.Meta)
	require.NoError(s.t, err)
	assert.Equal(s.t, "/requests/things."+call.ID.String(), meta.Location)
	assert.Equal(s.t, 2, runs.total())
	s.empty()
	letters := s.deadLetters()
	require.Len(s.t, letters, 1)
	assert.Equal(s.t, call.ID.String(), letters[0].Values["id"])
	assert.Equal(s.t, `[1]`, letters[0].Values["args"])
	assert.Equal(s.t, "2", letters[0].Values["attempts"])
	assert.Equal(s.t, "delivered 2 times without an outcome", letters[0].Values["error"])
	assert.Equal(s.t, wire.StateDead, s.record(call.ID.String())["state"])
	_, err = c.Do(s.ctx, call)
	require.ErrorIs(s.t, err, caller.ErrDead, "a later call gets its state")
}

func safeTooOften(s *stage) {
	s.serve(func(context.Context, *consumer.Delivery) consumer.Outcome { return consumer.Retry() },
		func(c *consumer.Config) { c.MaxAttempts = 1 })
	call := safe(`[1]`)
	call.ID = uuid.New()
	reply, err := s.client(caller.Config{}).Do(s.ctx, call)
	require.NoError(s.t, err)
	assert.Equal(s.t, wire.CodeInternal, open(s.t, reply).Error.Code)
	s.empty()
	assert.Len(s.t, s.deadLetters(), 1)
	assert.Empty(s.t, s.record(call.ID.String()))
}

func longWork(s *stage) {
	var runs counter
	work := func(ctx context.Context, d *consumer.Delivery) consumer.Outcome {
		runs.add(d.Request.ID)
		select {
		case <-time.After(5 * idleLimit):
		case <-ctx.Done():
		}
		return echo(ctx, d)
	}
	s.serve(work)
	s.serve(work)
	c := s.client(caller.Config{})
	safely, unsafely := s.call(c, safe(`[1]`)), s.call(c, unsafe(`[2]`))
	assert.Equal(s.t, `{"ok":true,"result":[1]}`, <-safely)
	assert.Equal(s.t, `{"ok":true,"result":[2]}`, <-unsafely)
	assert.Equal(s.t, 2, runs.total())
	s.empty()
}

func burst(s *stage) {
	var runs counter
	work := func(ctx context.Context, d *consumer.Delivery) consumer.Outcome {
		runs.add(d.Request.ID)
		select {
		case <-time.After(idleLimit / 5):
		case <-ctx.Done():
		}
		return echo(ctx, d)
	}
	oneSlot := func(c *consumer.Config) { c.Concurrency = 1 }
	s.serve(work, oneSlot)
	s.serve(work, oneSlot)
	c := s.client(caller.Config{})
	const requests = 30 // together far longer than the idle limit
	replies := make([]<-chan string, requests)
	for i := range replies {
		replies[i] = s.call(c, unsafe(number(i)))
	}
	for i := range replies {
		assert.Equal(s.t, `{"ok":true,"result":`+number(i)+`}`, <-replies[i])
	}
	assert.Equal(s.t, requests, runs.total())
}

func lostOwnership(s *stage) {
	running, causes := make(chan string, 1), make(chan error, 1)
	s.serve(func(ctx context.Context, d *consumer.Delivery) consumer.Outcome {
		running <- d.Entry
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return success(`"too late"`)
	})
	c := s.client(caller.Config{})
	call := unsafe(`[1]`)
	call.ID = uuid.New()
	answered := s.call(c, call)
	entry := <-running
	mailbox := s.conn.Keys.Requests("things")
	// Another worker takes it, and keeps it.
	keep := func() error {
		return s.rdb.XClaim(s.ctx, &redis.XClaimArgs{Stream: mailbox, Group: wire.Group, Consumer: "other", Messages: []string{entry}}).Err()
	}
	require.NoError(s.t, keep())
	require.ErrorIs(s.t, <-causes, consumer.ErrOwnershipLost)
	require.NoError(s.t, keep())
	assert.Equal(s.t, "queued", s.record(call.ID.String())["state"])
	pending, err := s.rdb.XPendingExt(s.ctx, &redis.XPendingExtArgs{Stream: mailbox, Group: wire.Group, Start: entry, End: entry, Count: 1}).Result()
	require.NoError(s.t, err)
	require.Len(s.t, pending, 1)
	assert.Equal(s.t, "other", pending[0].Consumer)
	select {
	case reply := <-answered:
		require.Fail(s.t, "answered by a worker that had lost the request", reply)
	default:
	}
}

func slotsBound(s *stage) {
	const slots = 4
	var now, most atomic.Int64
	s.serve(func(ctx context.Context, d *consumer.Delivery) consumer.Outcome {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			continue
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
		now.Add(-1)
		return echo(ctx, d)
	}, func(c *consumer.Config) { c.Concurrency = slots })
	c := s.client(caller.Config{})
	var callers sync.WaitGroup
	for i := range 40 {
		callers.Go(func() {
			_, err := c.Do(s.ctx, safe(number(i)))
			assert.NoError(s.t, err)
		})
	}
	callers.Wait()
	assert.EqualValues(s.t, slots, most.Load())
}
