package cache

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
)

// near keeps this process's own copies: each until its time is up, and in any
// case only a moment after the look at Redis that it comes from.
type near struct {
	copies *otter.Cache[string, *nearCopy]
	ttl    time.Duration

	drops atomic.Int64 // how many tags are in dropped: mostly none
	floor atomic.Int64 // looks before it are worth nothing, ns since born
	born  time.Time

	mu      sync.RWMutex
	dropped map[string]time.Time // tags, by space, and when they were invalidated
	purged  time.Time
}

type nearCopy struct {
	copied
	tags  []string // with their space
	stale time.Duration
	until time.Time
}

// mostDropped is how many tags are remembered one by one; with more, all copies
// are dropped.
const mostDropped = 10_000

func newNear(cfg *Config) (*near, error) {
	if cfg.NearBytes < 0 {
		return nil, nil
	}
	n := &near{ttl: cfg.NearTTL, born: time.Now(), dropped: make(map[string]time.Time)}
	var err error
	n.copies, err = otter.New(&otter.Options[string, *nearCopy]{
		MaximumWeight: uint64(cfg.NearBytes),
		Weigher: func(key string, c *nearCopy) uint32 {
			return uint32(min(len(key)+len(c.value)+256, 1<<31))
		},
		ExpiryCalculator: otter.ExpiryWriting[string, *nearCopy](cfg.NearTTL),
	})
	if err != nil {
		return nil, fmt.Errorf("near copies: %w", err)
	}
	return n, nil
}

func nearKey(space, identity string) string { return space + " " + identity }

func nearTag(space, tag string) string { return space + " " + tag }

// get finds a copy that nothing speaks against.
func (n *near) get(space, identity string) (Answer, bool) {
	if n == nil {
		return Answer{}, false
	}
	c, ok := n.copies.GetIfPresent(nearKey(space, identity))
	if !ok {
		return Answer{}, false
	}
	now := time.Now()
	if !now.Before(c.until) || !n.holds(c) {
		return Answer{}, false
	}
	return Answer{Value: c.value, Source: Near, Age: c.age(now, c.stale), Left: c.left - now.Sub(c.at)}, true
}

// holds reports that none of a copy's tags was dropped after its look.
func (n *near) holds(c *nearCopy) bool {
	if int64(c.at.Sub(n.born)) <= n.floor.Load() {
		return false
	}
	if n.drops.Load() == 0 {
		return true
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	for _, tag := range c.tags {
		if at, ok := n.dropped[tag]; ok && !c.at.After(at) {
			return false
		}
	}
	return true
}

// put keeps a copy. What was dropped since its look, holds finds.
func (n *near) put(q *Query, found copied) {
	if n == nil || found.left <= 0 {
		return
	}
	c := &nearCopy{copied: found, stale: q.Policy.stale(), until: found.at.Add(min(n.ttl, found.left))}
	if !time.Now().Before(c.until) {
		return
	}
	c.tags = make([]string, len(q.Tags))
	for i, tag := range q.Tags {
		c.tags[i] = nearTag(q.Space, tag)
	}
	n.copies.Set(nearKey(q.Space, q.Identity), c)
}

// drop forgets all copies with any of the tags.
func (n *near) drop(space string, tags []string) {
	if n == nil || len(tags) == 0 {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now() // in here: a drop that waits must not take back a later one
	if now.Sub(n.purged) > n.ttl {
		n.purged = now
		for tag, at := range n.dropped { // copies that old have ended by themselves
			if now.Sub(at) > 2*n.ttl {
				delete(n.dropped, tag)
			}
		}
	}
	for _, tag := range tags {
		n.dropped[nearTag(space, tag)] = now
	}
	if len(n.dropped) > mostDropped {
		clear(n.dropped)
		n.floor.Store(int64(now.Sub(n.born)))
	}
	n.drops.Store(int64(len(n.dropped)))
}

// clear forgets all copies: what was invalidated is not known.
func (n *near) clear() {
	if n == nil {
		return
	}
	n.mu.Lock()
	n.floor.Store(int64(time.Since(n.born)))
	n.mu.Unlock()
	n.copies.InvalidateAll()
}

func (n *near) close() {
	if n != nil {
		n.copies.InvalidateAll()
		n.copies.StopAllGoroutines()
	}
}
