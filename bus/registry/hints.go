package registry

import (
	"sync"

	"github.com/oskadev/mailroom/bus/wire"
)

// maxHints is how many announced services wait to be read that were not known before.
const maxHints = 100

// hints are the announced services that have not been read since.
type hints struct {
	due chan struct{} // capacity 1

	mu    sync.Mutex
	names map[string]bool
	fresh int // of names, those of unknown services
}

func newHints() *hints { return &hints{due: make(chan struct{}, 1), names: make(map[string]bool)} }

// add notes that a service was announced. It drops names that are not valid, and unknown
// ones over a limit: the next read of all finds them.
func (h *hints) add(name string, known bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.names[name]:
	case known:
		h.names[name] = true
	case h.fresh < maxHints && wire.CheckServiceName(name) == nil:
		h.names[name] = true
		h.fresh++
	default:
		return
	}
	select {
	case h.due <- struct{}{}:
	default: // a read is due already
	}
}

// take returns the announced services and forgets them.
func (h *hints) take() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	names := make([]string, 0, len(h.names))
	for name := range h.names {
		names = append(names, name)
	}
	clear(h.names)
	h.fresh = 0
	return names
}
