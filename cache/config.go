package cache

import (
	"log/slog"
	"time"

	"github.com/oskadev/mailroom/internal/script"
)

// Config configures a Cache or an Invalidator. The zero value is ready to use.
type Config struct {
	// Namespace is the prefix of all keys and channels. Defaults to "mailroom".
	Namespace string
	// LocalBytes limits the memory of the local cache entries; a negative value
	// disables them. Defaults to 64 MiB.
	LocalBytes int64
	// LocalTTL limits the age of a local cache entry, counted from the lookup in
	// Redis that it comes from. If the message about an invalidation is lost, a
	// process returns a stale answer for at most this time. Defaults to 1 s.
	LocalTTL time.Duration
	// MaxValue is the size in bytes of the largest answer that is stored. A larger
	// answer is only shared with the callers that wait for it. Defaults to 256 KiB.
	MaxValue int
	// MaxWaiting is the number of callers that may wait for one answer in this
	// process; further callers get ErrCrowded. Defaults to 10,000.
	MaxWaiting int
	// Lease is the time after which a leader that gives no sign of life is replaced.
	// Defaults to 900 ms.
	Lease time.Duration
	// Timeout limits each round trip to Redis. Defaults to 250 ms.
	Timeout time.Duration
	// Away is the time for which the cache does not use Redis after Redis failed to
	// answer. Defaults to 500 ms.
	Away time.Duration
	// FillShare is the share of Redis' memory above which nothing is stored, if
	// Redis evicts nothing. Defaults to 0.5.
	FillShare float64
	// Scripts decides how Lua scripts are called. Defaults to functions, where the server has
	// them.
	Scripts *script.Caller
	// OnDropped is called with the tags of a space that were invalidated, on the goroutine
	// that receives messages. Defaults to nil: no call.
	OnDropped func(space string, tags []string)
	// OnGap is called when invalidations may have been missed, and are received again.
	// Defaults to nil: no call.
	OnGap func()
	// Logger receives messages for operators. Defaults to slog.Default().
	Logger *slog.Logger

	at func(step, string) // blocks a query at a step, in tests. Defaults to no blocking
}

// step is a point of a query at which a test can block it.
type step int

// The steps, in their order.
const (
	stepLookup step = iota // before the lookup in Redis
	stepRun                // before the leader runs
	stepFill               // before the leader's outcome is stored
	stepFilled             // before the local entry of the outcome is stored
)

func (c *Config) setDefaults() {
	if c.Namespace == "" {
		c.Namespace = "mailroom"
	}
	if c.LocalBytes == 0 {
		c.LocalBytes = 64 << 20
	}
	if c.MaxValue == 0 {
		c.MaxValue = 256 << 10
	}
	if c.MaxWaiting == 0 {
		c.MaxWaiting = 10_000
	}
	if c.FillShare == 0 {
		c.FillShare = 0.5
	}
	if c.Scripts == nil {
		c.Scripts, _ = script.NewCaller(script.Auto) // it is a known way
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	for _, d := range []struct {
		value *time.Duration
		or    time.Duration
	}{
		{&c.LocalTTL, time.Second},
		{&c.Lease, 900 * time.Millisecond},
		{&c.Timeout, 250 * time.Millisecond},
		{&c.Away, 500 * time.Millisecond},
	} {
		if *d.value == 0 {
			*d.value = d.or
		}
	}
	if c.OnDropped == nil {
		c.OnDropped = func(string, []string) {}
	}
	if c.OnGap == nil {
		c.OnGap = func() {}
	}
	if c.at == nil {
		c.at = func(step, string) {}
	}
}
