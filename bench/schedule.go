package bench

import (
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// schedule is the open loop: request i is due i/rate seconds after the first one, even if
// earlier requests have no answer. Connections take the requests in order. While all
// connections are busy, requests stay due, and their latency grows.
type schedule struct {
	begin time.Time
	every float64 // ns between two starts
	total int64
	sleep func(context.Context, time.Duration)
	late  *hdrhistogram.Histogram // µs by which this process itself was late

	mu    sync.Mutex
	ready sync.Cond
	due   int64 // number of requests that should have begun
	taken int64 // number of requests that have begun
	ended bool
}

func newSchedule(begin, end time.Time, rate float64, sleep func(context.Context, time.Duration)) *schedule {
	s := &schedule{begin: begin, every: float64(time.Second) / rate, sleep: sleep, late: newHistogram()}
	s.total = max(1, int64(float64(end.Sub(begin))/s.every))
	s.ready.L = &s.mu
	return s
}

// start returns the time at which a request is due.
func (s *schedule) start(i int64) time.Time {
	return s.begin.Add(time.Duration(float64(i) * s.every))
}

// run makes requests due at their time.
func (s *schedule) run(ctx context.Context, measured time.Time) {
	defer s.end()
	for due := int64(0); due < s.total && ctx.Err() == nil; {
		now := time.Now()
		next := s.start(due)
		if wait := next.Sub(now); wait > 0 {
			// Let the connections that were just woken run first, on this thread.
			runtime.Gosched()
			s.sleep(ctx, wait)
			continue
		}
		if !next.Before(measured) {
			recordMicros(s.late, now.Sub(next))
		}
		first := due
		due = min(s.total, int64(float64(now.Sub(s.begin))/s.every)+1)
		s.mu.Lock()
		s.due = due
		s.mu.Unlock()
		for range due - first {
			s.ready.Signal()
		}
	}
}

// end marks the schedule as complete; requests that are due still begin.
func (s *schedule) end() {
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.ready.Broadcast()
}

func (s *schedule) next(ctx context.Context) (time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.taken == s.due && !s.ended {
		s.ready.Wait()
	}
	if s.taken == s.due || ctx.Err() != nil {
		return time.Time{}, false
	}
	s.taken++
	return s.start(s.taken - 1), true
}

// behind returns the number of requests that are due and wait for a connection.
func (s *schedule) behind() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.due - s.taken
}

// leftOver calls each with the start of every request that was due and never began.
func (s *schedule) leftOver(each func(time.Time)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ; s.taken < s.due; s.taken++ {
		each(s.start(s.taken))
	}
}

// lateness returns the delays between the time of a request and the moment that this
// process made it due.
func (s *schedule) lateness() *Latency { return newLatency(s.late) }
