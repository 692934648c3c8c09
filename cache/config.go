package cache

import (
	"errors"
	"log/slog"
	"time"
)

// ErrNotStored says that there is no copy, and only a copy was wanted.
var ErrNotStored = errors.New("there is no stored copy")

// ErrCrowded says that too many wait for the same answer already.
var ErrCrowded = errors.New("too many wait for this answer")

var errPanicked = errors.New("the run panicked")

// ErrClosed says that the cache was closed before there was an answer.
var ErrClosed = errors.New("the cache is closed")

// Config of a Cache. The zero value is ready to use.
type Config struct {
	// Namespace is the prefix of all keys and channels. Defaults to "mailroom".
	Namespace string
	// NearBytes bounds the near copies of this process, in bytes; negative: none
	// are kept. Defaults to 64 MiB.
	NearBytes int64
	// NearTTL is how long after its look at Redis a near copy may be used: so long
	// may a process show what another one has invalidated, should the message about
	// it be lost. Defaults to 1 s.
	NearTTL time.Duration
	// MaxValue is the largest answer that is stored, in bytes. Larger ones are only
	// shared by those who wait for them. Defaults to 256 KiB.
	MaxValue int
	// MaxWaiting is how many may wait for one answer in this process; more get
	// ErrCrowded. Defaults to 10,000.
	MaxWaiting int
	// Lease is after how long without a sign of life a leader is replaced.
	// Defaults to 900 ms.
	Lease time.Duration
	// Timeout bounds each trip to Redis. Defaults to 250 ms.
	Timeout time.Duration
	// Away is how long Redis is left alone once it did not answer. Defaults to 500 ms.
	Away time.Duration
	// FillShare is the share of Redis' memory above which nothing is stored, where
	// Redis evicts nothing by itself. Defaults to 0.5.
	FillShare float64
	// Logger takes what operators need to know. Defaults to slog.Default().
	Logger *slog.Logger

	at func(Step, string) // stops steps in tests; nil: none
}

// Step is a point on the way of a question at which a test can stop it.
type Step int

// The steps, in their order.
const (
	StepLook   Step = iota // before Redis is looked at
	StepRun                // before the leader runs
	StepFill               // before its outcome is stored
	StepFilled             // before a near copy is made of it
)

func (c *Config) setDefaults() {
	if c.Namespace == "" {
		c.Namespace = "mailroom"
	}
	if c.NearBytes == 0 {
		c.NearBytes = 64 << 20
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
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	for _, d := range []struct {
		value *time.Duration
		or    time.Duration
	}{
		{&c.NearTTL, time.Second},
		{&c.Lease, 900 * time.Millisecond},
		{&c.Timeout, 250 * time.Millisecond},
		{&c.Away, 500 * time.Millisecond},
	} {
		if *d.value == 0 {
			*d.value = d.or
		}
	}
	if c.at == nil {
		c.at = func(Step, string) {}
	}
}
