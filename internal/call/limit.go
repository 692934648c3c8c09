package call

import (
	"sync"
	"sync/atomic"
)

// Limit bounds the calls in flight of each service, so that a service that hardly
// answers takes no room from the others. It is safe for concurrent use.
type Limit struct {
	max      int64
	inFlight sync.Map // name → *atomic.Int64
}

// NewLimit returns a limit of so many calls for each name.
func NewLimit(max int64) *Limit { return &Limit{max: max} }

// Enter counts one more call; false: there are as many as allowed. After true the
// caller calls Leave.
func (l *Limit) Enter(name string) bool {
	n := l.of(name)
	if n.Add(1) <= l.max {
		return true
	}
	n.Add(-1)
	return false
}

// Leave counts one call less.
func (l *Limit) Leave(name string) { l.of(name).Add(-1) }

func (l *Limit) of(name string) *atomic.Int64 {
	if n, ok := l.inFlight.Load(name); ok {
		return n.(*atomic.Int64) //nolint:forcetypeassert // nothing else is in it
	}
	n, _ := l.inFlight.LoadOrStore(name, new(atomic.Int64))
	return n.(*atomic.Int64) //nolint:forcetypeassert // nothing else is in it
}
