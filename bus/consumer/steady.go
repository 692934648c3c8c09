package consumer

import (
	"sync"
	"time"
)

// steadiness knows for how long Redis has answered the keep-alives of a worker without a gap.
// After a gap, which all workers of a stopped Redis see, the requests of living workers look
// abandoned until their workers have kept them again. A worker claims none of them in that
// time: it claims only after a whole idle limit without a gap. The same holds for a worker that was
// frozen itself, and for one that has just started and cannot know.
type steadiness struct {
	limit time.Duration // the idle limit

	mu    sync.Mutex
	since time.Time // the first answer after the latest gap, or the start
	last  time.Time // the latest answer
}

func newSteadiness(limit time.Duration) *steadiness {
	now := time.Now()
	return &steadiness{limit: limit, since: now, last: now}
}

// gap returns the shortest time without an answer that counts as a gap. Keep-alives come
// three times in an idle limit: a shorter stop leaves each kept request below the idle limit.
func (s *steadiness) gap() time.Duration { return s.limit * 6 / 10 }

// answered notes the answer to a keep-alive.
func (s *steadiness) answered() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if now.Sub(s.last) > s.gap() {
		s.since = now
	}
	s.last = now
}

// steady reports whether the worker may claim requests of other workers.
func (s *steadiness) steady() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	return now.Sub(s.last) <= s.gap() && now.Sub(s.since) >= s.limit
}
