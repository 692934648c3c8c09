// Package share divides something bounded, such as connections, among its holders, so that
// one holder cannot take all of it. It counts; it does not wait.
package share

import "sync"

// Shares counts what each holder has. It is safe for concurrent use.
type Shares[K comparable] struct {
	max, each int

	mu    sync.Mutex
	total int
	held  map[K]int
}

// New returns shares of max in all and each for one holder. The zero value of a holder is
// bounded by max alone.
func New[K comparable](max, each int) *Shares[K] {
	return &Shares[K]{max: max, each: each, held: make(map[K]int)}
}

// Taken is the result of Take.
type Taken int

// The results of Take.
const (
	Granted Taken = iota
	NoneLeft
	OwnUsedUp // the holder has its share
)

// Take takes one for a holder. Call Give once it is granted and no longer in use.
func (s *Shares[K]) Take(holder K) Taken {
	s.mu.Lock()
	defer s.mu.Unlock()
	var unnamed K
	switch {
	case holder != unnamed && s.held[holder] >= s.each:
		return OwnUsedUp
	case s.total >= s.max:
		return NoneLeft
	}
	s.total++
	s.held[holder]++
	return Granted
}

// Give gives one back.
func (s *Shares[K]) Give(holder K) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total--
	if s.held[holder]--; s.held[holder] == 0 {
		delete(s.held, holder)
	}
}
