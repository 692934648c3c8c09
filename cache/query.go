package cache

import (
	"context"
	"strconv"
	"time"
)

// Query is one question.
type Query struct {
	// Space names what belongs together, such as a service: the answers and tags
	// of one space lie on one slot of a cluster, and a tag is known only within it.
	Space string
	// Identity is everything that makes the answer another one: see Identity.
	Identity string
	// Tags name what the answer is made of, see Invalidator.
	Tags []string
	// Policy says how long an answer is used.
	Policy Policy
	// Refresh has the question run even where there is a copy, which is replaced.
	Refresh bool
	// OnlyStored wants a copy, or else ErrNotStored.
	OnlyStored bool
	// Patient says that who asks waits for a run of its own to the end, also past the
	// end of the context: where the run ends in time by itself, that spares it a
	// goroutine. Defaults to false.
	Patient bool
}

// Policy says how long an answer is used.
type Policy struct {
	// TTL is how long a copy is fresh; 0: nothing is stored, identical questions
	// only share a run.
	TTL time.Duration
	// StaleWhileRevalidate is for how long after that a copy is still given, while
	// a new one is made (RFC 5861).
	StaleWhileRevalidate time.Duration
	// StaleIfError is for how long after its TTL a copy is given when the run is
	// broken (RFC 5861).
	StaleIfError time.Duration
}

// stale is how long a copy is kept when it is no longer fresh.
func (p Policy) stale() time.Duration { return max(p.StaleWhileRevalidate, p.StaleIfError) }

// life is how long a copy is kept in all.
func (p Policy) life() time.Duration {
	if p.TTL <= 0 {
		return 0
	}
	return p.TTL + p.stale()
}

// nonceLife is how long a new nonce of one of its tags is kept: it outlives some
// generations of copies. With it, those that are left end.
func (q *Query) nonceLife() time.Duration { return 4*q.Policy.life() + time.Minute }

// Identity joins the parts of a question, each behind its length: no two lists
// of parts are the same identity.
func Identity(parts ...string) string {
	size := 0
	for _, p := range parts {
		size += len(p) + 4
	}
	dst := make([]byte, 0, size)
	for _, p := range parts {
		dst = strconv.AppendInt(dst, int64(len(p)), 10)
		dst = append(dst, ':')
		dst = append(dst, p...)
	}
	return string(dst)
}

// Run makes the answer to a question. Its context is nobody's who asks: it ends
// with the cache.
type Run func(ctx context.Context) Outcome

// Outcome is what a run gave.
type Outcome struct {
	// Value is the answer, also one that tells of a failure.
	Value string
	// Store says that it may be stored; else it is only for those who wait for it.
	Store bool
	// Broken says that a copy, stale as it may be, would be better.
	Broken bool
}

// Source says where an answer came from.
type Source int

// The sources.
const (
	// Near is this process's copy.
	Near Source = iota
	// Shared is the copy in Redis.
	Shared
	// Led is a run of this question.
	Led
	// Joined is the run of somebody else who asked the same.
	Joined
	// Revalidating is a stale copy, while a new one is made.
	Revalidating
	// Stale is a stale copy, since the run was broken.
	Stale
	// Bypassed is a run without the cache: Redis did not answer, or has no room.
	Bypassed
	sources
)

// String is the source as it is counted.
func (s Source) String() string {
	return [...]string{"near", "shared", "led", "joined", "revalidating", "stale", "bypassed", "unknown"}[min(max(s, 0), sources)]
}

// Answer is what a question got.
type Answer struct {
	Value  string
	Source Source
	// Age is how long ago a copy was made.
	Age time.Duration
	// Left is how long a copy stays fresh; negative: it is stale.
	Left time.Duration
	// Expired says that there was a copy which is not fresh any more.
	Expired bool
}
