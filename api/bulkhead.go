package api

import (
	"sync"
	"sync/atomic"
	"time"
)

// bulkhead bounds how many calls of one service are in flight at this gateway, so
// that a service that hardly answers takes no room from the others. Each composition
// has places of its own; its steps take those of their services.
type bulkhead struct {
	most     int64
	services sync.Map // name → *atomic.Int64
}

// Enter takes a place for a call; false: there is none. Who got one leaves.
func (b *bulkhead) Enter(service string) bool {
	n := b.of(service)
	if n.Add(1) <= b.most {
		return true
	}
	n.Add(-1)
	return false
}

// Leave gives a place back.
func (b *bulkhead) Leave(service string) { b.of(service).Add(-1) }

func (b *bulkhead) of(service string) *atomic.Int64 {
	if n, ok := b.services.Load(service); ok {
		return n.(*atomic.Int64) //nolint:forcetypeassert // nothing else is in it
	}
	n, _ := b.services.LoadOrStore(service, new(atomic.Int64))
	return n.(*atomic.Int64) //nolint:forcetypeassert // nothing else is in it
}

// placeOf names whose places a call takes.
func placeOf(r *route) string {
	if r.plan != nil {
		return r.plan.Name()
	}
	return r.service
}

// crowded is the answer where there is no place.
func crowded(service string) *failure {
	return &failure{code: codeOverloaded, message: "too many calls of " + service + " are in flight here", retryAfter: time.Second}
}
