package cache

import "sync/atomic"

// Stats holds counts since the start, and the present state.
type Stats struct {
	// Answers counts the answers by source.
	Answers map[Source]uint64
	// Stored counts the entries written to Redis.
	Stored uint64
	// LocalBytes is the approximate memory of the local entries, in bytes.
	LocalBytes uint64
	// Away reports that Redis did not answer in the last Config.Away.
	Away bool
	// Deaf reports that the process does not receive invalidations: its local entries
	// may be stale for up to Config.LocalTTL.
	Deaf bool
	// Full reports that Redis has no room for more entries.
	Full bool
}

// counts are the counters of Stats.
type counts struct {
	answers [sources]atomic.Uint64
	stored  atomic.Uint64
}

// Stats returns what the cache has done, and its present state.
func (c *Cache) Stats() Stats {
	s := Stats{
		Answers: make(map[Source]uint64, sources), Stored: c.counts.stored.Load(), LocalBytes: c.local.size(),
		Away: c.pipe.away(), Full: c.memory.full.Load(), Deaf: !c.subscription.hears.Load(),
	}
	for i := range c.counts.answers {
		s.Answers[Source(i)] = c.counts.answers[i].Load()
	}
	return s
}
