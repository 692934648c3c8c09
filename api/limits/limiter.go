package limits

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"
)

// limiterConfig configures a limiter. The zero value is ready to use.
type limiterConfig struct {
	// Namespace is the prefix of all keys, after redis_rate's own "rate:".
	// Defaults to "mailroom".
	Namespace string
	// Timeout bounds each command to Redis. Defaults to 50 ms.
	Timeout time.Duration
	// RetryInterval is the time between a failed command and the next one.
	// Defaults to 500 ms.
	RetryInterval time.Duration
	// MaxLocal bounds the number of local counts. Defaults to 100,000.
	MaxLocal int
	// Logger defaults to slog.Default().
	Logger *slog.Logger
	// Now is the clock of the local counts. Defaults to time.Now.
	Now func() time.Time
}

func (c *limiterConfig) setDefaults() {
	if c.Namespace == "" {
		c.Namespace = "mailroom"
	}
	if c.Timeout == 0 {
		c.Timeout = 50 * time.Millisecond
	}
	if c.RetryInterval == 0 {
		c.RetryInterval = 500 * time.Millisecond
	}
	if c.MaxLocal == 0 {
		c.MaxLocal = 100_000
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
}

// limiter counts by key. It is safe for concurrent use. Close it.
type limiter struct {
	cfg     limiterConfig
	shared  *redis_rate.Limiter
	local   *local
	retryAt atomic.Int64 // unix ns; before it Redis is not tried
	alone   atomic.Bool  // this process counts for itself
}

// newLimiter returns a limiter. All processes with the same Redis and namespace share
// its counts.
func newLimiter(rdb redis.Cmdable, cfg limiterConfig) (*limiter, error) {
	cfg.setDefaults()
	l := &limiter{cfg: cfg, shared: redis_rate.NewLimiter(rdb)}
	var err error
	if l.local, err = newLocal(cfg.MaxLocal); err != nil {
		return nil, fmt.Errorf("rate limits: %w", err)
	}
	return l, nil
}

// close frees the local counts.
func (l *limiter) close() { l.local.close() }

// result is the state of a count after a request.
type result struct {
	Allowed bool
	// Remaining is the number of requests that may still come at once.
	Remaining int
	// RetryAfter is the time until the next request is allowed; 0 where this one was.
	RetryAfter time.Duration
	// Reset is the time until the whole burst is allowed again.
	Reset time.Duration
}

// take counts one request under a key, if the rate allows it.
func (l *limiter) take(ctx context.Context, key string, rate Rate) result {
	now := l.cfg.Now()
	if now.UnixNano() < l.retryAt.Load() {
		return l.local.take(key, rate, now)
	}
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	limit := redis_rate.Limit{Rate: rate.Count, Burst: rate.Burst, Period: rate.Period}
	r, err := l.shared.Allow(ctx, l.cfg.Namespace+":"+key, limit)
	if err != nil {
		l.retryAt.Store(now.Add(l.cfg.RetryInterval).UnixNano())
		if !l.alone.Swap(true) {
			l.cfg.Logger.WarnContext(ctx, "rate limits are not counted in Redis, each gateway counts for itself", "error", err)
		}
		return l.local.take(key, rate, now)
	}
	if l.alone.Swap(false) {
		l.cfg.Logger.InfoContext(ctx, "rate limits are counted in Redis again")
	}
	return result{Allowed: r.Allowed > 0, Remaining: r.Remaining, RetryAfter: max(r.RetryAfter, 0), Reset: r.ResetAfter}
}
