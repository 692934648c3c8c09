package cache

import (
	"strconv"
	"strings"
	"time"
)

// entry is a cache entry, as it was at the time of a lookup. The zero value is no
// entry.
type entry struct {
	value string
	left  time.Duration // until it is stale; negative: since then
	life  time.Duration // its TTL and the time for which it is kept as a stale entry
	at    time.Time     // when left was true
}

// parseEntry reads an entry as Redis holds it, without the nonces: its life in
// milliseconds, a space, and the value.
func parseEntry(text string, left int64, at time.Time) (entry, error) {
	life, value, found := strings.Cut(text, " ")
	ms, err := strconv.ParseInt(life, 10, 64)
	if err != nil || !found {
		return entry{}, errAnswer
	}
	return entry{value, time.Duration(left) * time.Millisecond, time.Duration(ms) * time.Millisecond, at}, nil
}

// exists reports that there is an entry, fresh or stale.
func (e *entry) exists() bool { return e.life > 0 }

// isStaleWithin reports that the entry exists, and has been stale for less than
// this time.
func (e *entry) isStaleWithin(limit time.Duration) bool {
	return e.exists() && limit > 0 && time.Since(e.at)-e.left < limit
}

// answer returns the entry as an answer. stale is the part of its life in which it
// is stale.
func (e *entry) answer(from Source, now time.Time, stale time.Duration) Answer {
	passed := now.Sub(e.at)
	return Answer{
		Value: e.value, Source: from, Age: max(0, e.life-stale-e.left+passed), Left: e.left - passed,
		Expired: from == Revalidating || from == Stale,
	}
}
