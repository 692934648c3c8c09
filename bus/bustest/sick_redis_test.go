package bustest_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
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

func TestKilledRedisComesBack(t *testing.T) {
	t.Parallel()
	b := newBroken(t, nil, "--appendonly", "yes", "--appendfsync", "always")
	_, err := b.call(t, false)
	require.NoError(t, err)
	b.redis.Kill()
	testsupport.Eventually(t, 10*time.Second, "the client notices", func() bool { return !b.client.Ready() })
	began := time.Now()
	_, err = b.call(t, false)
	require.ErrorIs(t, err, caller.ErrUnavailable)
	assert.Less(t, time.Since(began), time.Second)
	b.redis.Restart()
	testsupport.Eventually(t, 10*time.Second, "the client is ready again", b.client.Ready)
	for _, safe := range []bool{true, false} {
		envelope, err := b.call(t, safe)
		require.NoError(t, err)
		assert.Equal(t, ones, envelope)
	}
	b.settled(t)
}

func TestRefusedCredentialsEndAWorkerAtOnce(t *testing.T) {
	t.Parallel()
	redis := testsupport.StartRedis(t)
	redis.Do("ACL", "SETUSER", "reader", "on", ">pw", "~*", "+time", "+ping", "+xread")
	log, _ := testsupport.Logger(t)
	conn, err := bus.Connect("redis://reader:pw@"+redis.Addr(), bus.Options{Logger: log})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	consumer, err := consumer.New(conn, consumer.Config{
		Manifest: &wire.Manifest{Service: "things", Protocol: 1},
		Run: func(context.Context, *consumer.Delivery) consumer.Outcome {
			return consumer.Done(wire.ReplyMeta{}, nil, 0)
		},
	})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	require.ErrorContains(t, consumer.Run(ctx), "NOPERM")
	require.NoError(t, ctx.Err())

	wrong, err := bus.Connect("redis://reader:wrong@"+redis.Addr(), bus.Options{Logger: log})
	require.NoError(t, err)
	t.Cleanup(func() { _ = wrong.Close() })
	require.ErrorContains(t, wrong.WaitReady(ctx), "WRONGPASS")
}

func TestFullRedisLosesNoOutcome(t *testing.T) {
	t.Parallel()
	running, release := make(chan struct{}, 1), make(chan struct{})
	full := newBroken(t, func(c *consumer.Config) {
		c.MaxAttempts = 2
		run := c.Run
		c.Run = func(ctx context.Context, d *consumer.Delivery) consumer.Outcome {
			running <- struct{}{}
			<-release
			return run(ctx, d)
		}
	})
	answered := make(chan string, 1)
	go func() {
		envelope, err := full.call(t, false)
		if err != nil {
			envelope = err.Error()
		}
		answered <- envelope
	}()
	<-running
	full.redis.Do("CONFIG", "SET", "maxmemory", "1")
	close(release)
	// This takes longer than the idle limit. No worker may take the request over meanwhile.
	for range 4 {
		full.logs.Wait(t, "cannot settle outcomes")
	}
	testsupport.Eventually(t, 10*time.Second, "it is retried", func() bool {
		return strings.Count(full.logs.String(), "cannot settle outcomes") >= 6
	})
	full.redis.Do("CONFIG", "SET", "maxmemory", "0")
	assert.Equal(t, ones, <-answered)
	assert.EqualValues(t, 1, full.runs.Load())
	full.settled(t)
}

func TestBadRecordAffectsNoOtherRequest(t *testing.T) {
	t.Parallel()
	var begun sync.WaitGroup
	begun.Add(5)
	release := make(chan struct{})
	b := newBroken(t, func(c *consumer.Config) {
		c.IdleLimit = time.Minute
		run := c.Run
		c.Run = func(ctx context.Context, d *consumer.Delivery) consumer.Outcome {
			begun.Done()
			<-release
			return run(ctx, d)
		}
	})
	bad := uuid.New()
	answers := make(chan string, 4)
	for i := range 5 {
		go func() {
			call := &caller.Call{Service: "things", Action: "DO", Args: `[1]`, ID: uuid.New(), Timeout: 10 * time.Second}
			if i == 0 {
				call.ID, call.Timeout = bad, time.Second
			}
			reply, err := b.client.Do(t.Context(), call)
			if i > 0 {
				answers <- fmt.Sprint(reply.Envelope, err)
			}
		}()
	}
	begun.Wait()
	b.redis.Do("SET", "mailroom:{things}:req:"+bad.String(), "foreign")
	close(release)
	for range 4 {
		assert.Equal(t, ones+"<nil>", <-answers)
	}
}

func TestFrozenRedisIsNoticedWithinSeconds(t *testing.T) {
	t.Parallel()
	b := newBroken(t, nil)
	_, err := b.call(t, false)
	require.NoError(t, err)
	b.redis.Freeze()
	unknown := make(chan error, 1)
	go func() { // sent while Redis is frozen: the result is unknown
		_, err := b.client.Do(t.Context(), &caller.Call{Service: "things", Action: "DO", ID: uuid.New(), Timeout: 20 * time.Second})
		unknown <- err
	}()
	testsupport.Eventually(t, 3*time.Second, "the client notices", func() bool { return !b.client.Ready() })
	for range 5 {
		began := time.Now()
		_, err := b.call(t, true)
		require.ErrorIs(t, err, caller.ErrUnavailable)
		assert.Less(t, time.Since(began), time.Second)
	}
	b.redis.Thaw()
	require.NoError(t, <-unknown, "the request is answered in the end")
	testsupport.Eventually(t, 10*time.Second, "the client is ready again", b.client.Ready)
	envelope, err := b.call(t, true)
	require.NoError(t, err)
	assert.Equal(t, ones, envelope)
}

func TestNothingIsAdmittedBeforeRedisIsFull(t *testing.T) {
	t.Parallel()
	running, release := make(chan struct{}, 1), make(chan struct{})
	b := newBroken(t, func(c *consumer.Config) {
		run := c.Run
		c.Run = func(ctx context.Context, d *consumer.Delivery) consumer.Outcome {
			select {
			case running <- struct{}{}: // the first
			default:
			}
			<-release
			return run(ctx, d)
		}
	})
	answered := make(chan string, 1)
	go func() {
		envelope, err := b.call(t, false)
		answered <- envelope + fmt.Sprint(err)
	}()
	<-running
	// Connections need little memory beside the ballast.
	b.redis.Do("SET", "ballast", strings.Repeat("x", 64<<20))
	b.redis.Do("CONFIG", "SET", "maxmemory", strconv.Itoa(b.usedMemory()*10/9)) // 90 %
	testsupport.Eventually(t, 5*time.Second, "new requests are refused", func() bool {
		_, err := b.client.Do(t.Context(), &caller.Call{Service: "things", Action: "DO", Safe: true, Timeout: 50 * time.Millisecond})
		return errors.Is(err, caller.ErrOverloaded)
	})
	close(release)
	assert.Equal(t, ones+"<nil>", <-answered, "the admitted request ends")
	b.redis.Do("CONFIG", "SET", "maxmemory", "0")
	testsupport.Eventually(t, 5*time.Second, "new requests are admitted again", func() bool {
		envelope, err := b.client.Do(t.Context(), &caller.Call{Service: "things", Action: "DO", Args: `[1]`, Safe: true, Timeout: 5 * time.Second})
		return err == nil && envelope.Envelope == ones
	})
}
