package bustest_test

import (
	"context"
	"errors"
	"log/slog"
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

// broken is a bus with connections that can fail. Caller and worker reach Redis through
// proxies of their own, the test reaches it directly.
type broken struct {
	redis  *testsupport.RedisServer
	caller *testsupport.Proxy
	worker *testsupport.Proxy
	client *caller.Client
	runs   atomic.Int64
	log    *slog.Logger
	logs   *testsupport.Logs
}

func (b *broken) connect(t *testing.T, url string) *bus.Conn {
	t.Helper()
	conn, err := bus.Connect(url, bus.Options{Logger: b.log, Timeout: time.Second})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.WaitReady(t.Context()))
	return conn
}

func newBroken(t *testing.T, change func(*consumer.Config), args ...string) *broken {
	t.Helper()
	b := &broken{redis: testsupport.StartRedis(t, args...)}
	b.caller = testsupport.StartProxy(t, b.redis.Addr())
	b.worker = testsupport.StartProxy(t, b.redis.Addr())
	b.log, b.logs = testsupport.Logger(t)
	b.client = caller.New(b.connect(t, b.caller.URL()), caller.Config{Ping: 200 * time.Millisecond})
	t.Cleanup(b.client.Close)
	require.NoError(t, b.client.WaitReady(t.Context()))

	cfg := consumer.Config{
		Manifest:  &wire.Manifest{Service: "things", Version: "1", Protocol: 1, Actions: []wire.Action{}},
		IdleLimit: 500 * time.Millisecond,
		Run: func(_ context.Context, d *consumer.Delivery) consumer.Outcome {
			b.runs.Add(1)
			return consumer.Done(wire.ReplyMeta{}, wire.Success([]byte(d.Request.Args)), 0)
		},
	}
	if change != nil {
		change(&cfg)
	}
	consumer, err := consumer.New(b.connect(t, b.worker.URL()), cfg)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { assert.NoError(t, consumer.Run(ctx)) })
	t.Cleanup(running.Wait)
	t.Cleanup(stop)
	return b
}

func (b *broken) call(t *testing.T, safe bool) (string, error) {
	t.Helper()
	reply, err := b.client.Do(t.Context(), &caller.Call{
		Service: "things", Action: "DO", Args: `[1]`, ID: uuid.New(), Safe: safe, Timeout: 10 * time.Second,
	})
	return reply.Envelope, err
}

// usedMemory returns the memory that Redis uses, in bytes.
func (b *broken) usedMemory() int {
	info, _ := b.redis.Do("INFO", "memory").(string)
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "used_memory:"); ok {
			n, _ := strconv.Atoi(value)
			return n
		}
	}
	return 0
}

// settled waits until no request waits or runs any more.
func (b *broken) settled(t *testing.T) {
	t.Helper()
	testsupport.Eventually(t, 20*time.Second, "the mailbox is empty", func() bool {
		return b.redis.Do("XLEN", "mailroom:{things}:requests") == int64(0)
	})
}

const ones = `{"ok":true,"result":[1]}`

func TestLostAnswerToAnEnqueueSendsNothingTwice(t *testing.T) {
	t.Parallel()
	for name, match := range map[string]string{"safe": "xadd", "unsafe": "fcall"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBroken(t, nil)
			_, err := b.call(t, name == "safe") // loads scripts, subscribes to channels
			require.NoError(t, err)
			lost := b.caller.DropNextReply(match)
			envelope, err := b.call(t, name == "safe")
			require.NoError(t, err)
			assert.Equal(t, ones, envelope)
			<-lost
			assert.EqualValues(t, 2, b.runs.Load())
			b.settled(t)
		})
	}
}

func TestLostReadIsRecovered(t *testing.T) {
	t.Parallel()
	b := newBroken(t, nil)
	_, err := b.call(t, false)
	require.NoError(t, err)
	lost := b.worker.DropNextReply("xreadgroup")
	for range 2 { // the pending read may have begun before
		envelope, err := b.call(t, false)
		require.NoError(t, err)
		assert.Equal(t, ones, envelope)
	}
	<-lost
	assert.EqualValues(t, 3, b.runs.Load())
	b.settled(t)
}

func TestLostAnswerToASettleSettlesOnce(t *testing.T) {
	t.Parallel()
	for name, match := range map[string]string{"safe": "xack", "unsafe": "fcall"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBroken(t, func(c *consumer.Config) { c.IdleLimit = time.Minute })
			_, err := b.call(t, name == "safe")
			require.NoError(t, err)
			lost := b.worker.DropNextReply(match)
			envelope, err := b.call(t, name == "safe")
			require.NoError(t, err)
			assert.Equal(t, ones, envelope)
			<-lost
			b.settled(t)
			assert.EqualValues(t, 2, b.runs.Load())
			assert.EqualValues(t, 0, b.redis.Do("XLEN", "mailroom:{things}:dead"))
		})
	}
}

// The first call of a service can come long after the subscription began.
func TestLateFirstCallGetsItsReply(t *testing.T) {
	t.Parallel()
	b := newBroken(t, nil)
	const ping = 20 * time.Millisecond
	client := caller.New(b.connect(t, b.redis.URL()), caller.Config{Ping: ping})
	t.Cleanup(client.Close)
	require.NoError(t, client.WaitReady(t.Context()))
	began := time.Now()
	testsupport.Eventually(t, 5*time.Second, "some pings have passed", func() bool { return time.Since(began) > 10*ping })
	reply, err := client.Do(t.Context(), &caller.Call{Service: "things", Action: "DO", Args: `[1]`, Safe: true, Timeout: 10 * time.Second})
	require.NoError(t, err)
	assert.Equal(t, ones, reply.Envelope)
}

func TestSilentSubscriptionIsNoticed(t *testing.T) {
	t.Parallel()
	b := newBroken(t, nil)
	_, err := b.call(t, true)
	require.NoError(t, err)
	// Connections stay open, but no reply arrives.
	b.caller.BlackholeReplies(true)
	testsupport.Eventually(t, 5*time.Second, "the client notices", func() bool { return !b.client.Ready() })
	began := time.Now()
	_, err = b.call(t, true)
	require.ErrorIs(t, err, caller.ErrUnavailable)
	assert.Less(t, time.Since(began), 2*time.Second)
	b.caller.BlackholeReplies(false)
	testsupport.Eventually(t, 10*time.Second, "the client receives replies again", b.client.Ready)
	envelope, err := b.call(t, false)
	require.NoError(t, err)
	assert.Equal(t, ones, envelope)
}

func TestAnswersSurviveALostSubscription(t *testing.T) {
	t.Parallel()
	running, release := make(chan struct{}, 2), make(chan struct{})
	b := newBroken(t, func(c *consumer.Config) {
		c.Run = func(_ context.Context, d *consumer.Delivery) consumer.Outcome {
			running <- struct{}{}
			<-release
			return consumer.Done(wire.ReplyMeta{}, wire.Success([]byte(d.Request.Args)), 0)
		}
	})
	answers := make(chan string, 2)
	for _, safe := range []bool{true, false} {
		go func() {
			reply, err := b.client.Do(t.Context(), &caller.Call{
				Service: "things", Action: "DO", Args: `[1]`, ID: uuid.New(), Safe: safe, Timeout: 20 * time.Second,
			})
			if err != nil {
				reply.Envelope = err.Error()
			}
			answers <- reply.Envelope
		}()
	}
	<-running
	<-running
	b.caller.Refuse(true)
	b.caller.Cut()
	testsupport.Eventually(t, 10*time.Second, "the client notices", func() bool { return !b.client.Ready() })
	close(release)
	b.settled(t) // the replies were published, but not received
	b.caller.Refuse(false)
	assert.Equal(t, ones, <-answers)
	assert.Equal(t, ones, <-answers)
}

func TestMailboxLimitHoldsUnderOverload(t *testing.T) {
	t.Parallel()
	redis := testsupport.StartRedis(t)
	log, _ := testsupport.Logger(t)
	conn, err := bus.Connect(redis.URL(), bus.Options{Logger: log})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	const limit = 50
	client := caller.New(conn, caller.Config{MailboxLimit: limit})
	t.Cleanup(client.Close)
	require.NoError(t, client.WaitReady(t.Context()))
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Second)
	defer stop()
	var calling sync.WaitGroup
	var refused atomic.Int64
	for range 64 {
		calling.Go(func() {
			for ctx.Err() == nil {
				_, err := client.Do(ctx, &caller.Call{Service: "things", Action: "DO", Safe: true, Timeout: 100 * time.Millisecond})
				if errors.Is(err, caller.ErrOverloaded) {
					refused.Add(1)
				}
			}
		})
	}
	calling.Wait()
	assert.Positive(t, refused.Load())
	length, _ := redis.Do("XLEN", "mailroom:{things}:requests").(int64)
	// Batches that are sent at the same time are independent.
	assert.LessOrEqual(t, length, int64(2*limit))
}

// A request that no worker can reach before its deadline is refused at once, with the time
// of a retry. A request with a later deadline is accepted.
func TestRequestsPastTheMeasuredRateAreRefused(t *testing.T) {
	t.Parallel()
	const wait = 20 * time.Millisecond // of each request: 50 a second
	b := newBroken(t, func(c *consumer.Config) {
		c.Concurrency = 1
		c.Run = func(_ context.Context, d *consumer.Delivery) consumer.Outcome {
			<-time.After(wait)
			return consumer.Done(wire.ReplyMeta{}, wire.Success([]byte(d.Request.Args)), 0)
		}
	})
	conn := b.connect(t, b.redis.URL())
	honest := caller.New(conn, caller.Config{Ping: 100 * time.Millisecond})
	t.Cleanup(honest.Close)
	call := func(c *caller.Client, safe bool, timeout time.Duration) error {
		_, err := c.Do(t.Context(), &caller.Call{Service: "things", Action: "DO", Safe: safe, Timeout: timeout})
		return err
	}
	const many = 300
	var calling sync.WaitGroup
	for i := range many {
		calling.Go(func() { assert.NoError(t, call(honest, i%2 == 0, time.Minute)) })
	}
	for _, safe := range []bool{true, false} {
		var refused *caller.OverloadedError
		testsupport.Eventually(t, 3*time.Second, "it is refused", func() bool {
			began := time.Now()
			return errors.As(call(honest, safe, time.Second/2), &refused) && time.Since(began) < time.Second/2
		})
		assert.True(t, refused.Late)
		assert.Greater(t, refused.RetryAfter, time.Second)
	}
	willing := caller.New(conn, caller.Config{Ping: 100 * time.Millisecond, AdmitLate: true})
	t.Cleanup(willing.Close)
	require.ErrorIs(t, call(willing, true, time.Second/2), caller.ErrTimeout)
	calling.Wait()
	require.NoError(t, call(honest, true, time.Second/2), "no request waits any more")
}

func TestFinishedRequestsLeaveNothing(t *testing.T) {
	t.Parallel()
	b := newBroken(t, nil)
	_, err := b.call(t, true)
	require.NoError(t, err)
	before := b.usedMemory()
	const requests = 20_000
	var calling sync.WaitGroup
	for range 64 {
		calling.Go(func() {
			for range requests / 64 {
				_, err := b.client.Do(t.Context(), &caller.Call{Service: "things", Action: "DO", Args: `[1]`, Safe: true, Timeout: 20 * time.Second})
				assert.NoError(t, err)
			}
		})
	}
	calling.Wait()
	b.settled(t)
	assert.Less(t, b.usedMemory()-before, 2<<20, "bytes")
}
