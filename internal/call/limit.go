package call

import (
	"sync"
	"sync/atomic"
)

// Limit bounds the calls in flight of each name, so that a slow service does not use up the
// memory of the process. It is safe for concurrent use.
type Limit struct {
	max      int64
	inFlight sync.Map // name → *atomic.Int64
}

// NewLimit returns a limit of max calls for each name.
func NewLimit(max int64) *Limit { return &Limit{max: max} }

// Enter counts a call; false: the limit is reached. After true the caller must call Leave.
func (l *Limit) Enter(name string) bool {
	n := l.of(name)
	if n.Add(1) <= l.max {
		return true
	}
	n.Add(-1)
	return false
}

// Leave ends a call that Enter counted.
func (l *Limit) Leave(name string) { l.of(name).Add(-1) }

// Each calls yield with each name that had calls, and the number of its calls in flight.
func (l *Limit) Each(yield func(name string, inFlight int64)) {
	l.inFlight.Range(func(name, n any) bool {
		yield(name.(string), n.(*atomic.Int64).Load()) //nolint:forcetypeassert // nothing else is in it
		return true
	})
}

func (l *Limit) of(name string) *atomic.Int64 {
	if n, ok := l.inFlight.Load(name); ok {
		return n.(*atomic.Int64) //nolint:forcetypeassert // nothing else is in it
	}
	n, _ := l.inFlight.LoadOrStore(name, new(atomic.Int64))
	return n.(*atomic.Int64) //nolint:forcetypeassert // nothing else is in it
}
