package cache

import "errors"

// ErrNotStored reports that a query with OnlyStored found no entry.
var ErrNotStored = errors.New("no entry is stored")

// ErrCrowded reports that too many callers wait for the same answer.
var ErrCrowded = errors.New("too many callers wait for this answer")

// ErrClosed reports that the cache was closed before the answer arrived.
var ErrClosed = errors.New("the cache is closed")

var (
	errPanicked = errors.New("the run panicked")
	errAnswer   = errors.New("lookup: Redis answered in an unknown form")
)
