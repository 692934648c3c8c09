package testsupport

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// dial connects to addr until the test ends.
func dial(t *testing.T, addr string) *redis.Client {
	t.Helper()
	client := newProbe(addr, 5*time.Second)
	t.Cleanup(func() { assert.NoError(t, client.Close()) })
	return client
}

func TestMiniredisAnswersAndExpires(t *testing.T) {
	t.Parallel()
	options, err := redis.ParseURL(Miniredis(t))
	require.NoError(t, err)
	client := dial(t, options.Addr)
	require.NoError(t, client.Set(t.Context(), "brief", "x", 50*time.Millisecond).Err())
	Eventually(t, 5*time.Second, "the key expires by the clock", func() bool {
		return client.Exists(t.Context(), "brief").Val() == 0
	})
}

func TestRedisServersAreSeparate(t *testing.T) {
	t.Parallel()
	first, second := StartRedis(t), StartRedis(t)
	first.Do("SET", "key", "first")
	assert.Equal(t, "first", first.Do("GET", "key"))
	assert.Equal(t, int64(0), second.Do("EXISTS", "key"))
	assert.NotEqual(t, first.URL(), second.URL())
	assert.Equal(t, map[any]any{"maxmemory-policy": "noeviction"}, first.Do("CONFIG", "GET", "maxmemory-policy"))
	assert.Equal(t, map[any]any{"save": ""}, first.Do("CONFIG", "GET", "save"))
}

func TestRedisServerForgetsWithoutAppendOnlyFile(t *testing.T) {
	t.Parallel()
	server := StartRedis(t)
	server.Do("SET", "key", "value")
	addr, pid := server.Addr(), server.Pid()
	server.Restart()
	assert.Equal(t, int64(0), server.Do("DBSIZE"))
	assert.Equal(t, addr, server.Addr())
	assert.NotEqual(t, pid, server.Pid())
}

func TestRedisServerKeepsWhatItsArgumentsAskFor(t *testing.T) {
	t.Parallel()
	server := StartRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	server.Do("SET", "key", "value")
	server.Kill()
	server.Kill() // a second time does nothing
	require.ErrorIs(t, syscall.Kill(server.Pid(), 0), syscall.ESRCH, "gone when Kill returns")
	server.Restart()
	assert.Equal(t, "value", server.Do("GET", "key"))
}

func TestRedisServerWithAPasswordCountsAsReady(t *testing.T) {
	t.Parallel()
	server := StartRedis(t, "--requirepass", "secret")
	client := dial(t, server.Addr())
	require.ErrorContains(t, client.Ping(t.Context()).Err(), "NOAUTH")
}

func TestRedisServerFreezesAndThaws(t *testing.T) {
	t.Parallel()
	server := StartRedis(t)
	client := dial(t, server.Addr())
	require.NoError(t, client.Ping(t.Context()).Err())

	server.Freeze()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.Error(t, client.Ping(ctx).Err())
	server.Thaw()
	require.NoError(t, client.Ping(t.Context()).Err())
}

func TestRedisServerStopsAlsoWhenFrozen(t *testing.T) {
	t.Parallel()
	var pid int
	t.Run("", func(t *testing.T) { // the outer test checks its end
		server := StartRedis(t)
		pid = server.Pid()
		server.Freeze()
	})
	if pid != 0 { // 0: skipped without redis-server
		require.ErrorIs(t, syscall.Kill(pid, 0), syscall.ESRCH)
	}
}

func TestRedisServerSaysWhyItDoesNotStart(t *testing.T) {
	t.Parallel()
	StartRedis(t) // skips this test without redis-server
	got := record(t, func(tb testing.TB) {
		tb.Helper()
		StartRedis(tb, "--no-such-option", "yes")
	})
	assert.True(t, got.failed)
	assert.Contains(t, got.message, "no-such-option")
}

func TestWithoutRedisSkipsOrFails(t *testing.T) {
	t.Parallel()
	skipped := record(t, func(tb testing.TB) {
		tb.Helper()
		withoutRedis(tb, "")
	})
	assert.True(t, skipped.skipped)
	assert.Contains(t, skipped.message, "apt-get install redis-server")

	failed := record(t, func(tb testing.TB) {
		tb.Helper()
		withoutRedis(tb, "required")
	})
	assert.True(t, failed.failed)
	assert.Contains(t, failed.message, "MAILROOM_TEST_REDIS=required")
}
