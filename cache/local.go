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
func (l *local) get(space, identity string) (Answer, bool) {
	if l == nil {
		return Answer{}, false
	}
	e, ok := l.entries.GetIfPresent(localKey(space, identity))
	if !ok {
		return Answer{}, false
	}
	now := time.Now()
	if !now.Before(e.until) || !l.isValid(e) {
		return Answer{}, false
	}
	return e.answer(Local, now, e.stale), true
}

// isValid reports that no tag of an entry was dropped after its lookup.
func (l *local) isValid(e *localEntry) bool {
	if int64(e.at.Sub(l.born)) <= l.floor.Load() {
		return false
	}
	if l.drops.Load() == 0 {
		return true
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, tag := range e.tags {
		if at, ok := l.dropped[tag]; ok && !e.at.After(at) {
			return false
		}
	}
	return true
}

// put keeps an entry. If one of its tags was dropped since its lookup, get does not
// return it.
func (l *local) put(q *Query, found entry) {
	if l == nil || found.left <= 0 {
		return
	}
	e := &localEntry{entry: found, stale: q.Policy.stale(), until: found.at.Add(min(l.ttl, found.left)), tags: make([]string, len(q.Tags))}
	if !time.Now().Before(e.until) {
		return
	}
	for i, tag := range q.Tags {
		e.tags[i] = localTag(q.Space, tag)
	}
	l.entries.Set(localKey(q.Space, q.Identity), e)
}

// drop invalidates all entries that have one of the tags.
func (l *local) drop(space string, tags []string) {
	if l == nil || len(tags) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now() // read under the lock, so that a drop that waited does not undo a later one
	if now.Sub(l.purged) > l.ttl {
		l.purged = now
		for tag, at := range l.dropped { // entries of that time have expired
			if now.Sub(at) > 2*l.ttl {
				delete(l.dropped, tag)
			}
		}
	}
	for _, tag := range tags {
		l.dropped[localTag(space, tag)] = now
	}
	if len(l.dropped) > maxDropped {
		clear(l.dropped)
		l.floor.Store(int64(now.Sub(l.born)))
	}
	l.drops.Store(int64(len(l.dropped)))
}

// clear drops all entries, since invalidations may have been missed.
func (l *local) clear() {
	if l == nil {
		return
	}
	l.mu.Lock()
	l.floor.Store(int64(time.Since(l.born)))
	l.mu.Unlock()
	l.entries.InvalidateAll()
}

// size returns the approximate memory of the entries, in bytes.
func (l *local) size() uint64 {
	if l == nil {
		return 0
	}
	return l.entries.WeightedSize()
}

func (l *local) close() {
	if l != nil {
		l.entries.InvalidateAll()
		l.entries.StopAllGoroutines()
	}
}
