package cache

import (
	"context"
	"errors"
	"time"
)

// ErrNotStored reports that a query with OnlyStored found no entry.
var ErrNotStored = errors.New("no entry is stored")

// ErrCrowded reports that too many callers wait for the same answer.
var ErrCrowded = errors.New("too many callers wait for this answer")

// ErrClosed reports that the cache was closed before the answer arrived.
var ErrClosed = errors.New("the cache is closed")

// Run computes the answer to a query. Its context ends with the cache and is
// independent of the callers that wait.
type Run func(ctx context.Context) Outcome

// Outcome is the result of a Run.
type Outcome struct {
	// Value is the answer. It may describe a failure.
	Value string
	// Store permits that the answer is stored. Otherwise only the callers that wait
	// get it.
	Store bool
	// Broken reports a failure for which a stale entry is the better answer.
	Broken bool
}

// Source is where an answer came from.
type Source int

// The sources.
const (
	// Local is an entry in the memory of this process.
	Local Source = iota
	// Shared is an entry in Redis.
	Shared
	// Led is a run for this query, in this process.
	Led
	// Joined is a run for an identical query, here or in another process.
	Joined
	// Revalidating is a stale entry; a run for a new one is in progress.
	Revalidating
	// Stale is a stale entry, returned because the run failed.
	Stale
	// Bypassed is a run without the cache: Redis did not answer or has no room.
	Bypassed
	sources
)

// String returns the name of the source in metrics; that of Local is "near".
func (s Source) String() string {
	return [...]string{"near", "shared", "led", "joined", "revalidating", "stale", "bypassed", "unknown"}[min(max(s, 0), sources)]
}

// Answer is the answer to a query.
type Answer struct {
	Value  string
	Source Source
	// Age is the age of an entry; 0 for an answer that has just been computed.
	Age time.Duration
	// Left is the time for which an entry stays fresh; negative: it is stale.
	Left time.Duration
	// Expired reports that an entry existed and was no longer fresh.
	Expired bool
}
