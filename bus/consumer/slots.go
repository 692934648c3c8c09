package consumer

import (
	"context"
	"sync"
)

// slots count how many more requests a worker may start. One goroutine, the reader,
// takes them; any goroutine gives them back.
type slots struct {
	mu   sync.Mutex
	size int
	free int           // negative after a resize, until enough are given back
	held bool          // nothing may start: the mailbox is paused
	more chan struct{} // capacity 1: a slot became free
}

func newSlots(n int) *slots { return &slots{size: n, free: n, more: make(chan struct{}, 1)} }

// await waits until at least one slot is free, and returns how many are.
func (s *slots) await(ctx context.Context) (int, error) {
	for {
		s.mu.Lock()
		n, held := s.free, s.held
		s.mu.Unlock()
		if n > 0 && !held {
			return n, ctx.Err()
		}
		select {
		case <-s.more:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// none reports whether no slot is free.
func (s *slots) none() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.free <= 0 || s.held
}

func (s *slots) take(n int) {
	s.mu.Lock()
	s.free -= n
	s.mu.Unlock()
}

// hold stops or resumes the start of requests. It reports a change.
func (s *slots) hold(held bool) bool {
	s.mu.Lock()
	changed := s.held != held
	s.held = held
	s.mu.Unlock()
	if changed {
		s.give(0)
	}
	return changed
}

// resize changes the number of slots.
func (s *slots) resize(n int) {
	s.mu.Lock()
	change := n - s.size
	s.size = n
	s.mu.Unlock()
	s.give(change)
}

func (s *slots) give(n int) {
	s.mu.Lock()
	s.free += n
	s.mu.Unlock()
	select {
	case s.more <- struct{}{}:
	default: // the reader has not looked yet
	}
}
