package conformance

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
)

// memory is the state of the service in one process.
type memory struct {
	mu     sync.Mutex
	lists  map[string][]json.RawMessage // values of APPEND by key
	active map[string]int               // runs of APPEND by key
	runs   map[int64]int                // runs of CACHED by id
}

func newMemory() *memory {
	return &memory{lists: make(map[string][]json.RawMessage), active: make(map[string]int), runs: make(map[int64]int)}
}

// Entry is the argument of APPEND.
type Entry struct {
	Value json.RawMessage `json:"value"`
	MS    int64           `json:"ms,omitempty"`
}

// Appended is the result of APPEND.
type Appended struct {
	// Values are the values of the key in the order in which their runs began.
	Values []json.RawMessage `json:"values"`
	// Overlap reports that another run of the key was active during this one.
	Overlap bool `json:"overlap"`
}

func (m *memory) append(ctx context.Context, key string, in Entry) (Appended, error) {
	m.mu.Lock()
	m.lists[key] = append(m.lists[key], in.Value)
	m.active[key]++
	overlap := m.active[key] > 1
	m.mu.Unlock()
	err := wait(ctx, in.MS)
	m.mu.Lock()
	defer m.mu.Unlock()
	overlap = overlap || m.active[key] > 1
	m.active[key]--
	return Appended{slices.Clone(m.lists[key]), overlap}, err
}

// Counted is the result of CACHED.
type Counted struct {
	ID   int64 `json:"id"`
	Runs int   `json:"runs"`
}

func (m *memory) cached(_ context.Context, id int64) (Counted, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.runs[id]++
	return Counted{id, m.runs[id]}, nil
}
