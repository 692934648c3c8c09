package limits

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/testsupport"
)

func TestMain(m *testing.M) { testsupport.Main(m) }

func open(t *testing.T, url string, cfg limiterConfig) *limiter {
	t.Helper()
	options, err := redis.ParseURL(url)
	require.NoError(t, err)
	options.MaxRetries, options.DisableIdentity = -1, true
	rdb := redis.NewClient(options)
	t.Cleanup(func() { _ = rdb.Close() })
	cfg.Timeout = max(cfg.Timeout, 5*time.Second)
	l, err := newLimiter(rdb, cfg)
	require.NoError(t, err)
	t.Cleanup(l.close)
	return l
}

var perHour = Rate{Count: 3, Period: time.Hour, Burst: 3}

func TestProcessesCountTogether(t *testing.T) {
	t.Parallel()
	url := testsupport.Miniredis(t)
	here, there := open(t, url, limiterConfig{}), open(t, url, limiterConfig{})
	for left := range 3 {
		r := []*limiter{here, there}[left%2].take(t.Context(), "ada", perHour)
		assert.True(t, r.Allowed)
		assert.Equal(t, 2-left, r.Remaining)
		assert.Zero(t, r.RetryAfter)
		assert.Greater(t, r.Reset, time.Duration(0))
	}
	for _, l := range []*limiter{here, there} {
		r := l.take(t.Context(), "ada", perHour)
		assert.False(t, r.Allowed)
		assert.Zero(t, r.Remaining)
		assert.InDelta(t, 20*time.Minute, r.RetryAfter, float64(time.Minute), "one comes back each twenty minutes")
	}
	assert.True(t, here.take(t.Context(), "bob", perHour).Allowed, "others have their own")
	assert.True(t, open(t, url, limiterConfig{Namespace: "other"}).take(t.Context(), "ada", perHour).Allowed, "another namespace")
}

func TestBurst(t *testing.T) {
	t.Parallel()
	l := open(t, testsupport.Miniredis(t), limiterConfig{})
	rate := Rate{Count: 1000, Period: time.Hour, Burst: 2}
	assert.True(t, l.take(t.Context(), "ada", rate).Allowed)
	assert.True(t, l.take(t.Context(), "ada", rate).Allowed)
	assert.False(t, l.take(t.Context(), "ada", rate).Allowed)
}

// While Redis is unreachable each process counts for itself, up to the whole limit.
func TestLocalCountsWhileRedisIsRetryInterval(t *testing.T) {
	t.Parallel()
	log, logs := testsupport.Logger(t)
	now := time.Now()
	proxy := testsupport.StartProxy(t, testsupport.Miniredis(t)[len("redis://"):])
	l := open(t, "redis://"+proxy.Addr(), limiterConfig{Logger: log, Now: func() time.Time { return now }})
	require.True(t, l.take(t.Context(), "ada", perHour).Allowed)
	proxy.Refuse(true)
	proxy.Cut()
	for left := range 3 {
		r := l.take(t.Context(), "ada", perHour)
		assert.True(t, r.Allowed)
		assert.Equal(t, 2-left, r.Remaining)
	}
	r := l.take(t.Context(), "ada", perHour)
	assert.False(t, r.Allowed)
	assert.InDelta(t, 20*time.Minute, r.RetryAfter, float64(time.Minute))
	assert.True(t, l.take(t.Context(), "bob", perHour).Allowed)
	logs.Wait(t, "each gateway counts for itself")

	proxy.Refuse(false)
	assert.False(t, l.take(t.Context(), "ada", perHour).Allowed, "it is left alone for a moment")
	now = now.Add(time.Second)
	testsupport.Eventually(t, 10*time.Second, "Redis counts again", func() bool {
		now = now.Add(time.Second)
		return l.take(context.WithoutCancel(t.Context()), "ada", perHour).Allowed
	})
	logs.Wait(t, "rate limits are counted in Redis again")
}

func TestRates(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Rate{
		"100/s":   {Count: 100, Period: time.Second, Burst: 100},
		"5/m":     {Count: 5, Period: time.Minute, Burst: 5},
		"1/h":     {Count: 1, Period: time.Hour, Burst: 1},
		"3/10s":   {Count: 3, Period: 10 * time.Second, Burst: 3},
		"9/1h30m": {Count: 9, Period: 90 * time.Minute, Burst: 9},
	} {
		got, err := parseRate(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, got)
		again, err := parseRate(got.String())
		require.NoError(t, err)
		assert.Equal(t, want, again, "it reads what it writes")
	}
	for _, text := range []string{"", "/", "5", "5/", "/s", "0/s", "-1/s", "1.5/s", "5/x", "5/0s", "5/-1s", "5/25h", "1000001/s", "5/s/s", "5/1us"} {
		_, err := parseRate(text)
		assert.ErrorContains(t, err, "rate", text)
	}
}
