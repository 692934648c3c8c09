package cache

import "sync"

// Limits of what hints remember. Above them they forget everything.
const (
	maxHintedEntries = 100_000
	maxHintedNonces  = 20_000
)

// hints remember the results of lookups, to select the cheapest commands for the
// next one. A wrong hint costs a second round trip to Redis, nothing else.
type hints struct {
	mu      sync.Mutex
	entries map[string]bool   // the digests of queries that had an entry
	nonces  map[string]string // by key of the tag
}

func newHints() *hints {
	return &hints{entries: make(map[string]bool), nonces: make(map[string]string)}
}

// hasEntry reports that an entry is likely.
func (h *hints) hasEntry(digest string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.entries[digest]
}

func (h *hints) sawEntry(digest string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.entries) >= maxHintedEntries {
		clear(h.entries)
	}
	h.entries[digest] = true
}

func (h *hints) sawNoEntry(digest string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.entries, digest)
}

// nonce returns the last known nonce of a tag; empty: none is known.
func (h *hints) nonce(key string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.nonces[key]
}

// sawNonces remembers the nonces of a query's tags; an empty one: the tag has none.
func (h *hints) sawNonces(keys keys, q *Query, nonces []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.nonces) > maxHintedNonces {
		clear(h.nonces)
	}
	for i, tag := range q.Tags {
		if key := keys.tag(q.Space, tag); nonces[i] != "" {
			h.nonces[key] = nonces[i]
		} else {
			delete(h.nonces, key)
		}
	}
}
