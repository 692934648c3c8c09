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

// Config of a Limiter. The zero value is ready to use.
type Config struct {
	// Namespace is the prefix of all keys, behind redis_rate's own "rate:".
	// Defaults to "mailroom".
	Namespace string
	// Timeout bounds each trip to Redis. Defaults to 50 ms.
	Timeout time.Duration
	// Away is how long Redis is left alone once it did not answer in time.
	// Defaults to 500 ms.
	Away time.Duration
	// MaxLocal is how many things are counted by this process alone, at most, while
	// Redis is away. Defaults to 100,000.
	MaxLocal int
	// Logger takes what operators need to know. Defaults to slog.Default().
	Logger *slog.Logger
	// Now is the clock of the counts that this process keeps. Defaults to time.Now.
	Now func() time.Time
}

func (c *Config) setDefaults() {
	if c.Namespace == "" {
		c.Namespace = "mailroom"
	}
	if c.Timeout == 0 {
		c.Timeout = 50 * time.Millisecond
	}
	if c.Away == 0 {
		c.Away = 500 * time.Millisecond
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

// Limiter counts. It is safe for concurrent use.
type Limiter struct {
	cfg    Config
	shared *redis_rate.Limiter
	local  *local
	till   atomic.Int64 // until when Redis is left alone, unix ns
	alone  atomic.Bool  // this process counts for itself
}

// New makes a Limiter whose counts all processes with the same Redis and namespace share.
func New(rdb redis.UniversalClient, cfg Config) (*Limiter, error) {
	cfg.setDefaults()
	l := &Limiter{cfg: cfg, shared: redis_rate.NewLimiter(rdb)}
	var err error
	if l.local, err = newLocal(cfg.MaxLocal); err != nil {
		return nil, fmt.Errorf("rate limits: %w", err)
	}
	return l, nil
}

// Close ends it.
func (l *Limiter) Close() { l.local.close() }

// Result says whether something may happen now.
type Result struct {
	Allowed bool
	// Remaining is how often more it may happen at once.
	Remaining int
	// RetryAfter is when it may happen again, where it may not now.
	RetryAfter time.Duration
	// Reset is when Burst may happen at once again.
	Reset time.Duration
}

// Take counts one more of what key names, if its rate allows that.
func (l *Limiter) Take(ctx context.Context, key string, rate Rate) Result {
	now := l.cfg.Now()
	if now.UnixNano() < l.till.Load() {
		return l.local.take(key, rate, now)
	}
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	limit := redis_rate.Limit{Rate: rate.Count, Burst: rate.Burst, Period: rate.Period}
	r, err := l.shared.Allow(ctx, l.cfg.Namespace+":"+key, limit)
	if err != nil {
		l.till.Store(now.Add(l.cfg.Away).UnixNano())
		if !l.alone.Swap(true) {
			l.cfg.Logger.WarnContext(ctx, "Redis does not count rates, each gateway counts for itself", "error", err)
		}
		return l.local.take(key, rate, now)
	}
	if l.alone.Swap(false) {
		l.cfg.Logger.InfoContext(ctx, "Redis counts rates again")
	}
	return Result{Allowed: r.Allowed > 0, Remaining: r.Remaining, RetryAfter: max(r.RetryAfter, 0), Reset: r.ResetAfter}
}
