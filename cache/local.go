package cache

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
)

// local keeps the cache entries in the memory of this process: each until it is
// stale, and for at most Config.LocalTTL after the lookup that it comes from. A nil
// local keeps none.
type local struct {
	entries *otter.Cache[string, *localEntry]
	ttl     time.Duration

	drops atomic.Int64 // len(dropped), which is 0 most of the time
	floor atomic.Int64 // entries of lookups until then are invalid, in ns since born
	born  time.Time

	mu      sync.RWMutex
	dropped map[string]time.Time // invalidated tags with their space, and when
	purged  time.Time
}

// localEntry is an entry in memory.
type localEntry struct {
	entry
	tags  []string // with their space
	stale time.Duration
	until time.Time
}

// maxDropped is the number of invalidated tags that are remembered. Beyond it all
// entries are dropped.
const maxDropped = 10_000

func newLocal(cfg *Config) (*local, error) {
	if cfg.LocalBytes < 0 {
		return nil, nil
	}
	entries, err := otter.New(&otter.Options[string, *localEntry]{
		MaximumWeight: uint64(cfg.LocalBytes),
		Weigher: func(key string, e *localEntry) uint32 {
			return uint32(min(len(key)+len(e.value)+256, 1<<31))
		},
		ExpiryCalculator: otter.ExpiryWriting[string, *localEntry](cfg.LocalTTL),
	})
	if err != nil {
		return nil, fmt.Errorf("local cache entries: %w", err)
	}
	return &local{entries: entries, ttl: cfg.LocalTTL, born: time.Now(), dropped: make(map[string]time.Time)}, nil
}

func localKey(space, identity string) string { return space + " " + identity }

func localTag(space, tag string) string { return space + " " + tag }

// get returns the entry of a query, if it is fresh and none of its tags was dropped.
func (n *local) get(space, identity string) (Answer, bool) {
	if n == nil {
		return Answer{}, false
	}
	e, ok := n.entries.GetIfPresent(localKey(space, identity))
	if !ok {
		return Answer{}, false
	}
	now := time.Now()
	if !now.Before(e.until) || !n.isValid(e) {
		return Answer{}, false
	}
	return e.answer(Local, now, e.stale), true
}

// isValid reports that no tag of an entry was dropped after its lookup.
func (n *local) isValid(e *localEntry) bool {
	if int64(e.at.Sub(n.born)) <= n.floor.Load() {
		return false
	}
	if n.drops.Load() == 0 {
		return true
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	for _, tag := range e.tags {
		if at, ok := n.dropped[tag]; ok && !e.at.After(at) {
			return false
		}
	}
	return true
}

// put keeps an entry. If one of its tags was dropped since its lookup, get does not
// return it.
func (n *local) put(q *Query, found entry) {
	if n == nil || found.left <= 0 {
		return
	}
	e := &localEntry{entry: found, stale: q.Policy.stale(), until: found.at.Add(min(n.ttl, found.left)), tags: make([]string, len(q.Tags))}
	if !time.Now().Before(e.until) {
		return
	}
	for i, tag := range q.Tags {
		e.tags[i] = localTag(q.Space, tag)
	}
	n.entries.Set(localKey(q.Space, q.Identity), e)
}

// drop invalidates all entries that have one of the tags.
func (n *local) drop(space string, tags []string) {
	if n == nil || len(tags) == 0 {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now() // read under the lock, so that a drop that waited does not undo a later one
	if now.Sub(n.purged) > n.ttl {
		n.purged = now
		for tag, at := range n.dropped { // entries of that time have expired
			if now.Sub(at) > 2*n.ttl {
				delete(n.dropped, tag)
			}
		}
	}
	for _, tag := range tags {
		n.dropped[localTag(space, tag)] = now
	}
	if len(n.dropped) > maxDropped {
		clear(n.dropped)
		n.floor.Store(int64(now.Sub(n.born)))
	}
	n.drops.Store(int64(len(n.dropped)))
}

// clear drops all entries, since invalidations may have been missed.
func (n *local) clear() {
	if n == nil {
		return
	}
	n.mu.Lock()
	n.floor.Store(int64(time.Since(n.born)))
	n.mu.Unlock()
	n.entries.InvalidateAll()
}

// size returns the approximate memory of the entries, in bytes.
func (n *local) size() uint64 {
	if n == nil {
		return 0
	}
	return n.entries.WeightedSize()
}

func (n *local) close() {
	if n != nil {
		n.entries.InvalidateAll()
		n.entries.StopAllGoroutines()
	}
}
