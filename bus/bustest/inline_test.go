package bustest_test

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/consumer"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/testsupport"
)

// newFast starts a worker whose runs take no time, so that the goroutine that reads the
// mailbox runs them inline after a while. By arguments, does adds to what a run does.
func newFast(t *testing.T, change func(*consumer.Config), does map[string]func(context.Context, *consumer.Delivery)) *broken {
	t.Helper()
	var seen atomic.Bool
	b := newBroken(t, func(c *consumer.Config) {
		c.Manifest.Actions = []wire.Action{{Name: "DO"}}
		run := c.Run
		c.Run = func(ctx context.Context, d *consumer.Delivery) consumer.Outcome {
			if d.Request.Args == `["inline?"]` {
				seen.Store(runsInline())
			}
			if do := does[d.Request.Args]; do != nil {
				do(ctx, d)
			}
			return run(ctx, d)
		}
		if change != nil {
			change(c)
		}
	})
	testsupport.Eventually(t, 20*time.Second, "the action is fast", func() bool {
		<-b.with(t, `["inline?"]`, true)
		return seen.Load()
	})
	return b
}

// runsInline reports whether the goroutine that reads the mailbox calls it.
func runsInline() bool { return strings.Contains(string(debug.Stack()), "consumer.(*inline).run(") }

// with calls in the background with one argument, and delivers the answer.
func (b *broken) with(t *testing.T, argument string, safe bool) <-chan string {
	t.Helper()
	came := make(chan string, 1)
	go func() {
		reply, err := b.client.Do(t.Context(), &caller.Call{
			Service: "things", Action: "DO", Args: argument, ID: uuid.New(), Safe: safe, Timeout: 20 * time.Second,
		})
		came <- reply.Envelope + fmt.Sprint(err)
	}()
	return came
}

func answerTo(argument string) string { return `{"ok":true,"result":` + argument + `}<nil>` }

func TestFastActionRunsInline(t *testing.T) {
	t.Parallel()
	b := newFast(t, nil, nil)
	for _, safe := range []bool{true, false} {
		assert.Equal(t, answerTo("[7]"), <-b.with(t, "[7]", safe))
	}
	b.settled(t)
}

// A run that waits is not fast, even where its handler is.
func TestActionThatWaitsDoesNotRunInline(t *testing.T) {
	t.Parallel()
	var inline atomic.Int64
	b := newBroken(t, func(c *consumer.Config) {
		c.Manifest.Actions = []wire.Action{{Name: "DO"}}
		run := c.Run
		c.Run = func(ctx context.Context, d *consumer.Delivery) consumer.Outcome {
			if runsInline() {
				inline.Add(1)
			}
			<-time.After(2 * time.Millisecond)
			return run(ctx, d)
		}
	})
	for range 100 {
		_, err := b.call(t, true)
		require.NoError(t, err)
	}
	assert.Zero(t, inline.Load())
}

// Requests that are read together with one that blocks, before it or behind it, are
// answered, and so are later ones.
func TestInlineRunThatBlocksDelaysNoOther(t *testing.T) {
	t.Parallel()
	begun, release := make(chan struct{}), make(chan struct{})
	b := newFast(t, nil, map[string]func(context.Context, *consumer.Delivery){
		`["block"]`: func(context.Context, *consumer.Delivery) {
			begun <- struct{}{}
			<-release
		},
	})
	for range 5 {
		var others []<-chan string
		for i := range 4 {
			others = append(others, b.with(t, "["+strconv.Itoa(i)+"]", i%2 == 0))
		}
		blocked := b.with(t, `["block"]`, false)
		for i := 4; i < 8; i++ {
			others = append(others, b.with(t, "["+strconv.Itoa(i)+"]", i%2 == 0))
		}
		<-begun
		for i, came := range others {
			assert.Equal(t, answerTo("["+strconv.Itoa(i)+"]"), <-came)
		}
		for range 100 { // it is known as quick again then
			_, err := b.call(t, true)
			require.NoError(t, err)
		}
		assert.Empty(t, blocked)
		release <- struct{}{}
		assert.Equal(t, answerTo(`["block"]`), <-blocked)
	}
	b.settled(t)
}

func TestInlineRunThatEndsItsGoroutineRunsAgain(t *testing.T) {
	t.Parallel()
	b := newFast(t, nil, map[string]func(context.Context, *consumer.Delivery){
		`["exit"]`: func(_ context.Context, d *consumer.Delivery) {
			if d.Attempt == 1 {
				runtime.Goexit()
			}
		},
	})
	exits := b.with(t, `["exit"]`, false)
	for range 40 {
		_, err := b.call(t, true)
		require.NoError(t, err)
	}
	assert.Equal(t, answerTo(`["exit"]`), <-exits)
	b.settled(t)
}

// The only slot is free again after the inline run is settled.
func TestInlineRunsShareOneSlot(t *testing.T) {
	t.Parallel()
	b := newFast(t, func(c *consumer.Config) { c.Concurrency = 1 }, nil)
	var calling sync.WaitGroup
	for i := range 50 {
		calling.Go(func() { assert.Equal(t, answerTo("[7]"), <-b.with(t, "[7]", i%2 == 0)) })
	}
	calling.Wait()
	b.settled(t)
}

// The answer to the settling commands is lost: the settler settles again, and the request
// does not run again.
func TestLostAnswerToInlineSettling(t *testing.T) {
	t.Parallel()
	for _, safe := range []bool{true, false} {
		b := newFast(t, nil, nil)
		before := b.runs.Load()
		match := "fcall"
		if safe {
			match = "xack"
		}
		dropped := b.worker.DropNextReply(match)
		came := b.with(t, "[7]", safe)
		<-dropped
		assert.Equal(t, answerTo("[7]"), <-came)
		assert.Equal(t, before+1, b.runs.Load())
		_, err := b.call(t, safe)
		require.NoError(t, err)
		b.settled(t)
	}
}

func TestInlineRunsAfterRedisWasKilled(t *testing.T) {
	t.Parallel()
	b := newFast(t, nil, nil)
	b.redis.Kill()
	testsupport.Eventually(t, 10*time.Second, "the client notices", func() bool { return !b.client.Ready() })
	b.redis.Restart()
	testsupport.Eventually(t, 10*time.Second, "the client is ready again", b.client.Ready)
	for i := range 80 {
		_, err := b.call(t, i%2 == 0)
		require.NoError(t, err)
	}
	b.settled(t)
}

// A worker that stops ends the context of an inline run too.
func TestStuckInlineRunEndsWithItsWorker(t *testing.T) {
	t.Parallel()
	begun, causes := make(chan struct{}), make(chan error, 1)
	redis := testsupport.StartRedis(t)
	conn, err := bus.Connect(redis.URL(), bus.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	one, err := consumer.New(conn, consumer.Config{
		Manifest: &wire.Manifest{Service: "things", Version: "1", Protocol: 1, Actions: []wire.Action{{Name: "DO"}}}, DrainLimit: 50 * time.Millisecond,
		Run: func(ctx context.Context, d *consumer.Delivery) consumer.Outcome {
			if strings.Contains(d.Request.Args, "stuck") && runsInline() {
				close(begun)
				<-ctx.Done()
				causes <- context.Cause(ctx)
				return consumer.Retry()
			}
			return consumer.Done(wire.ReplyMeta{}, wire.Success([]byte("1")), 0)
		},
	})
	require.NoError(t, err)
	client := caller.New(conn, caller.Config{})
	t.Cleanup(client.Close)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- one.Run(ctx) }()
	calling, leave := context.WithCancel(t.Context())
	defer leave()
	var replies sync.WaitGroup
	replies.Go(func() { // until it is known to be quick, and stuck
		for calling.Err() == nil {
			_, _ = client.Do(calling, &caller.Call{Service: "things", Action: "DO", Args: `["stuck"]`, Safe: true})
		}
	})
	defer replies.Wait()
	defer leave()
	<-begun
	stop()
	require.ErrorIs(t, <-causes, consumer.ErrDraining)
	require.NoError(t, <-ended)
}
