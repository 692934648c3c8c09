package keys

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/testsupport"
)

// clock is a clock that a test moves.
type clock struct{ now atomic.Int64 }

func (c *clock) Now() time.Time          { return time.Unix(1_750_000_000, c.now.Load()) }
func (c *clock) advance(d time.Duration) { c.now.Add(int64(d)) }

// looks counts the lookups of a verifier in Redis and can block them.
type looks struct {
	n    atomic.Int64
	gate chan struct{} // nil: open
}

func (l *looks) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (l *looks) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "hget" {
			l.n.Add(1)
			if l.gate != nil {
				<-l.gate
			}
		}
		return next(ctx, cmd)
	}
}

func (l *looks) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error { return next(ctx, cmds) }
}

func newVerifier(t testing.TB, conn *bus.Conn, cfg Config) (*Verifier, *looks) {
	t.Helper()
	v, err := NewVerifier(conn, cfg)
	require.NoError(t, err)
	t.Cleanup(v.Close)
	l := &looks{}
	rdb, ok := v.rdb.(redis.UniversalClient)
	require.True(t, ok)
	rdb.AddHook(l)
	return v, l
}

func TestAKeySaysWhoCalls(t *testing.T) {
	t.Parallel()
	conn := connect(t, testsupport.Miniredis(t))
	v, asked := newVerifier(t, conn, Config{Now: new(clock).Now})
	text, key, err := NewStore(conn).Create(t.Context(), Key{Name: "n", Scopes: []string{"users:write"}, Tenant: "acme"}, 0)
	require.NoError(t, err)
	for range 3 {
		p, err := v.Verify(t.Context(), text)
		require.NoError(t, err)
		assert.Equal(t, &wire.Principal{Subject: "key:" + key.ID, Tenant: "acme", Scopes: []string{"users:write"}}, p)
	}
	assert.EqualValues(t, 1, asked.n.Load(), "the key was cached")
}

func TestAKeyWithOneBitChangedIsNone(t *testing.T) {
	t.Parallel()
	conn := connect(t, testsupport.Miniredis(t))
	v, _ := newVerifier(t, conn, Config{})
	text, _, err := NewStore(conn).Create(t.Context(), Key{Name: "n"}, 0)
	require.NoError(t, err)
	for i := range len(text) {
		for bit := range 8 {
			changed := []byte(text)
			changed[i] ^= 1 << bit
			_, err := v.Verify(t.Context(), string(changed))
			require.ErrorIs(t, err, ErrRefused, "byte %d, bit %d", i, bit)
		}
	}
	for _, bad := range []string{"", "mk_", text[:len(text)-1], text + "a", text[:20], " " + text} {
		_, err := v.Verify(t.Context(), bad)
		require.ErrorIs(t, err, ErrRefused, bad)
	}
	_, err = v.Verify(t.Context(), text)
	require.NoError(t, err, "and it still counts itself")
}

func TestARevokedKeyCountsForLessThanASecond(t *testing.T) {
	t.Parallel()
	conn := connect(t, testsupport.Miniredis(t))
	now := &clock{}
	v, asked := newVerifier(t, conn, Config{Now: now.Now})
	store := NewStore(conn)
	text, key, err := store.Create(t.Context(), Key{Name: "n"}, 0)
	require.NoError(t, err)
	_, err = v.Verify(t.Context(), text)
	require.NoError(t, err)
	require.NoError(t, store.Revoke(t.Context(), key.ID))
	now.advance(499 * time.Millisecond)
	_, err = v.Verify(t.Context(), text)
	require.NoError(t, err, "it is not known yet")
	now.advance(time.Millisecond)
	_, err = v.Verify(t.Context(), text)
	require.ErrorIs(t, err, ErrRefused)
	assert.EqualValues(t, 2, asked.n.Load())
}

func TestAnExpiredKeyIsNone(t *testing.T) {
	t.Parallel()
	conn := connect(t, testsupport.Miniredis(t))
	v, _ := newVerifier(t, conn, Config{})
	now := &clock{}
	v.redisTime = now.Now
	store := NewStore(conn)
	store.now = now.Now
	text, _, err := store.Create(t.Context(), Key{Name: "n"}, time.Minute)
	require.NoError(t, err)
	now.advance(time.Minute - time.Millisecond)
	_, err = v.Verify(t.Context(), text)
	require.NoError(t, err)
	now.advance(time.Millisecond)
	_, err = v.Verify(t.Context(), text)
	require.ErrorIs(t, err, ErrRefused, "also while it is remembered")
}

func TestAFloodOfBadKeysIsBounded(t *testing.T) {
	t.Parallel()
	conn := connect(t, testsupport.Miniredis(t))
	now := &clock{}
	v, asked := newVerifier(t, conn, Config{MaxCached: 100, Now: now.Now})
	bad := Prefix + random(10) + "_" + random(20)
	for range 10 {
		_, err := v.Verify(t.Context(), bad)
		require.ErrorIs(t, err, ErrRefused)
	}
	assert.EqualValues(t, 1, asked.n.Load(), "that the key does not exist is cached too")
	for range 2000 {
		_, err := v.Verify(t.Context(), Prefix+random(10)+"_"+random(20))
		require.ErrorIs(t, err, ErrRefused)
	}
	v.cached.CleanUp()
	assert.LessOrEqual(t, v.cached.EstimatedSize(), 100)
	before := asked.n.Load()
	_, err := v.Verify(t.Context(), "mk_malformed")
	require.ErrorIs(t, err, ErrRefused)
	assert.Equal(t, before, asked.n.Load(), "a malformed key is not looked up")
}

func TestCallersAtTheSameTimeLookOnce(t *testing.T) {
	t.Parallel()
	conn := connect(t, testsupport.Miniredis(t))
	v, asked := newVerifier(t, conn, Config{Timeout: time.Minute, CacheTTL: time.Minute})
	asked.gate = make(chan struct{})
	text, _, err := NewStore(conn).Create(t.Context(), Key{Name: "n"}, 0)
	require.NoError(t, err)
	leaving, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		_, err := v.Verify(leaving, text)
		left <- err
	}()
	testsupport.Eventually(t, 10*time.Second, "one looks", func() bool { return asked.n.Load() == 1 })
	var all sync.WaitGroup
	errs := make(chan error, 50)
	for range cap(errs) {
		all.Go(func() {
			_, err := v.Verify(t.Context(), text)
			errs <- err
		})
	}
	leave()
	require.ErrorIs(t, <-left, context.Canceled)
	close(asked.gate)
	all.Wait()
	for range cap(errs) {
		require.NoError(t, <-errs, "a caller that leaves does not affect the others")
	}
	assert.EqualValues(t, 1, asked.n.Load())
}

func TestWithoutRedisNobodyIsRefused(t *testing.T) {
	t.Parallel()
	v, _ := newVerifier(t, connect(t, "redis://"+testsupport.FreeAddr(t)), Config{})
	_, err := v.Verify(t.Context(), Prefix+random(10)+"_"+random(20))
	require.Error(t, err)
	assert.NotErrorIs(t, err, ErrRefused)
}

func TestAKeyThatCannotBeReadIsNone(t *testing.T) {
	t.Parallel()
	conn := connect(t, testsupport.Miniredis(t))
	log, logs := testsupport.Logger(t)
	v, _ := newVerifier(t, conn, Config{Logger: log})
	for i, value := range []string{"canary", `{"sha256":""}`, `{"sha256":"00"}`, `{"sha256":"canary"}`, `[]`} {
		id, secret := random(10), random(20)
		require.NoError(t, conn.Redis().HSet(t.Context(), "mailroom:keys", id, value).Err())
		_, err := v.Verify(t.Context(), Prefix+id+"_"+secret)
		require.ErrorIs(t, err, ErrRefused, value)
		logs.Wait(t, id)
		assert.False(t, logs.Contains("canary"), i)
	}
}

func BenchmarkKnownKey(b *testing.B) {
	conn, err := bus.Connect(testsupport.Miniredis(b), bus.Options{})
	require.NoError(b, err)
	b.Cleanup(func() { _ = conn.Close() })
	v, _ := newVerifier(b, conn, Config{CacheTTL: time.Hour})
	text, _, err := NewStore(conn).Create(b.Context(), Key{Name: "n"}, 0)
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(b.Context(), text); err != nil {
			b.Fatal(err)
		}
	}
}
