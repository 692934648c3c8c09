package bench

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// maxLatency is the largest value of a histogram.
const maxLatency = 10 * time.Minute

// newHistogram returns a histogram of microseconds with three significant digits.
func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, maxLatency.Microseconds(), 3)
}

func recordMicros(h *hdrhistogram.Histogram, d time.Duration) {
	// The histogram accepts every value within these limits.
	_ = h.RecordValue(min(max(d, 0), maxLatency).Microseconds())
}

// recorder counts the answers of all connections.
type recorder struct {
	measured time.Time // when the warm-up ends

	inFlight atomic.Int64

	mu       sync.Mutex
	warm     int64                   // answers during the warm-up
	interval *hdrhistogram.Histogram // since the last report
	total    *hdrhistogram.Histogram // before that
	counts   counts
	failures map[string]*Failure
	last     time.Time // when the last answer arrived
}

// counts are the counts of a recorder since the end of the warm-up.
type counts struct {
	answered   int64 // without failure
	failed     int64
	unanswered int64
	bytes      int64
}

func newRecorder(measured time.Time) *recorder {
	return &recorder{
		measured: measured, interval: newHistogram(), total: newHistogram(), failures: make(map[string]*Failure),
	}
}

// record counts one answer. The latency of a failure counts, too.
func (r *recorder) record(start, now time.Time, a Answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if start.Before(r.measured) {
		r.warm++
		return
	}
	recordMicros(r.interval, now.Sub(start))
	r.counts.bytes += int64(a.Bytes)
	if now.After(r.last) {
		r.last = now
	}
	if a.Failure == "" {
		r.counts.answered++
		return
	}
	r.counts.failed++
	f := r.failures[a.Failure]
	if f == nil {
		f = &Failure{Kind: a.Failure, First: a.Detail}
		r.failures[a.Failure] = f
	}
	f.Count++
}

// cutOff counts a request that was not answered before the load ended. Its latency is at
// least the time until then.
func (r *recorder) cutOff(start, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if start.Before(r.measured) {
		return
	}
	recordMicros(r.interval, now.Sub(start))
	r.counts.unanswered++
}

// result returns the measurements.
func (r *recorder) result(ended, planned time.Time, interrupted bool) *Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.total.Merge(r.interval)
	r.interval.Reset()
	// Answers after the planned end extend the measured time.
	until := planned
	if r.counts.unanswered > 0 || interrupted {
		until = ended
	} else if r.last.After(until) {
		until = r.last
	}
	result := &Result{
		Interrupted: interrupted,
		Seconds:     max(0, until.Sub(r.measured).Seconds()),
		Requests:    r.counts.answered + r.counts.failed + r.counts.unanswered,
		Failed:      r.counts.failed, Unanswered: r.counts.unanswered, Bytes: r.counts.bytes,
		Latency:  *newLatency(r.total),
		Failures: []Failure{},
	}
	if result.Seconds > 0 {
		result.Rate = float64(r.counts.answered) / result.Seconds
	}
	for _, f := range r.failures {
		result.Failures = append(result.Failures, *f)
	}
	slices.SortFunc(result.Failures, func(a, b Failure) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Kind, b.Kind))
	})
	return result
}

// report reports the progress of each second.
func (r *recorder) report(ctx context.Context, begin time.Time, s *schedule, tell func(Progress)) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	var before counts
	var warm int64
	kinds := make(map[string]int64)
	last := begin
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			p := Progress{Elapsed: now.Sub(begin)}
			if s != nil {
				p.Behind = s.behind()
			}
			seconds := now.Sub(last).Seconds()
			p.InFlight = r.inFlight.Load()
			r.mu.Lock()
			p.Rate = float64(r.counts.answered-before.answered+r.warm-warm) / seconds
			p.Failed = r.counts.failed - before.failed
			before, warm = r.counts, r.warm
			p.Warmup = last.Before(r.measured) && r.interval.TotalCount() == 0
			p.Latency = *newLatency(r.interval)
			r.total.Merge(r.interval)
			r.interval.Reset()
			for _, kind := range slices.Sorted(maps.Keys(r.failures)) {
				if f := r.failures[kind]; f.Count > kinds[kind] {
					kinds[kind] = f.Count
					p.Failure = kind
				}
			}
			r.mu.Unlock()
			last = now
			tell(p)
		}
	}
}
