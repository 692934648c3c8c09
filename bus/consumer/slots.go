package consumer

import (
	"context"
	"sync"
)

// slots are what a worker may have under way. One goroutine takes them, the
// fetching one; any may give them back.
type slots struct {
	mu   sync.Mutex
	free int
	more chan struct{} // capacity 1: some became free
}

func newSlots(n int) *slots { return &slots{free: n, more: make(chan struct{}, 1)} }

// await returns how many slots are free, at least one.
func (s *slots) await(ctx context.Context) (int, error) {
	for {
		s.mu.Lock()
		n := s.free
		s.mu.Unlock()
		if n > 0 {
			return n, ctx.Err()
		}
		select {
		case <-s.more:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// none reports that there is no free slot.
func (s *slots) none() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.free <= 0
}

func (s *slots) take(n int) {
	s.mu.Lock()
	s.free -= n
	s.mu.Unlock()
}

func (s *slots) give(n int) {
	s.mu.Lock()
	s.free += n
	s.mu.Unlock()
	select {
	case s.more <- struct{}{}:
	default: // the taker knows already
	}
}
