package bench

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// target answers by a function, without a network, so that tests can use a fake clock.
type target struct {
	answer func(ctx context.Context) Answer
	calls  atomic.Int64
	open   atomic.Int64
	opened atomic.Int64
}

func (*target) String() string { return "a function" }

func (t *target) Connect() Connection {
	t.open.Add(1)
	t.opened.Add(1)
	return t
}

func (t *target) Close() { t.open.Add(-1) }

func (t *target) Do(ctx context.Context) Answer {
	t.calls.Add(1)
	return t.answer(ctx)
}

// takes succeeds after a time.
func takes(d time.Duration) func(context.Context) Answer {
	return func(ctx context.Context) Answer {
		pause(ctx, d)
		if ctx.Err() != nil {
			return Answer{Failure: "cut off"}
		}
		return Answer{Bytes: 10}
	}
}

func TestClosedLoop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		to := &target{answer: takes(2 * time.Millisecond)}
		r := Load{Connections: 5, Warmup: time.Second, Duration: 4 * time.Second}.Run(t.Context(), to)
		assert.Equal(t, int64(5*2000), r.Requests, "each connection sends its next request after an answer")
		assert.Equal(t, int64(5*2500), to.calls.Load(), "the warm-up sends requests, too")
		assert.InDelta(t, 2500, r.Rate, 1)
		assert.InDelta(t, 2, r.Latency.P50, 0.01)
		assert.InDelta(t, 2, r.Latency.Max, 0.01)
		assert.Equal(t, int64(5*2000*10), r.Bytes)
		assert.Equal(t, "closed", r.Loop)
		assert.Equal(t, "a function", r.Target)
		assert.Zero(t, r.Failed)
		assert.Zero(t, r.Unanswered)
		assert.False(t, r.Interrupted)
		assert.Nil(t, r.Late)
		assert.Equal(t, int64(5), to.opened.Load())
		assert.Zero(t, to.open.Load(), "connections are closed")
	})
}

func TestOpenLoopKeepsItsRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		to := &target{answer: takes(20 * time.Millisecond)}
		r := Load{Rate: 250, Warmup: 2 * time.Second, Duration: 4 * time.Second, sleep: pause}.Run(t.Context(), to)
		assert.Equal(t, int64(1000), r.Requests)
		assert.Equal(t, int64(1500), to.calls.Load())
		assert.InDelta(t, 250, r.Rate, 2)
		assert.InDelta(t, 20, r.Latency.P50, 0.1)
		assert.InDelta(t, 20, r.Latency.Max, 0.1)
		assert.Equal(t, "open", r.Loop)
		require.NotNil(t, r.Late)
		assert.Zero(t, r.Late.Max)
	})
}

// A target stalls once for 300 ms. In the open loop, the stall shows in every request that was
// due meanwhile.
func stalling() *target {
	// A channel and not a mutex, because the fake clock stops while a goroutine waits for a mutex.
	turn := make(chan int, 1)
	turn <- 0
	return &target{answer: func(ctx context.Context) Answer {
		n := 1 + <-turn
		if n == 500 {
			pause(ctx, 300*time.Millisecond)
		}
		turn <- n
		return Answer{}
	}}
}

func TestOpenLoopShowsAStall(t *testing.T) {
	t.Parallel()
	for name, connections := range map[string]int{"with connections to spare": 1000, "with two connections": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := Load{Connections: connections, Rate: 1000, Duration: 2 * time.Second, sleep: pause}.Run(t.Context(), stalling())
				assert.Equal(t, int64(2000), r.Requests, "none of those that came late is left out")
				assert.InDelta(t, 300, r.Latency.Max, 1)
				// 300 of 2000 should have begun during the stall: they waited 300, 299, 298 … ms.
				assert.InDelta(t, 280, r.Latency.P99, 2)
				assert.InDelta(t, 100, r.Latency.P90, 2)
				assert.Zero(t, r.Latency.P50)
			})
		})
	}
}

func TestClosedLoopHidesAStall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		to := stalling()
		answer := to.answer
		to.answer = func(ctx context.Context) Answer {
			pause(ctx, time.Millisecond)
			return answer(ctx)
		}
		r := Load{Connections: 2, Duration: 2 * time.Second}.Run(t.Context(), to)
		assert.InDelta(t, 300, r.Latency.Max, 2)
		assert.InDelta(t, 1, r.Latency.P99, 0.1, "which is why there is an open loop")
	})
}

func TestFailuresAreCountedByKind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := 0
		to := &target{answer: func(ctx context.Context) Answer {
			pause(ctx, time.Millisecond)
			switch n++; {
			case n%10 == 0:
				return Answer{Failure: "status 503", Detail: "the first", Bytes: 3}
			case n%25 == 0:
				return Answer{Failure: "timeout"}
			}
			return Answer{}
		}}
		r := Load{Connections: 1, Duration: time.Second}.Run(t.Context(), to)
		assert.Equal(t, int64(1000), r.Requests)
		assert.Equal(t, int64(120), r.Failed)
		assert.Equal(t, int64(880), r.Answered())
		assert.InDelta(t, 880, r.Rate, 1, "only good answers make the rate")
		assert.Equal(t, []Failure{{Kind: "status 503", Count: 100, First: "the first"}, {Kind: "timeout", Count: 20}}, r.Failures)
		assert.Equal(t, int64(300), r.Bytes)
	})
}

func TestTargetUnreachable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		to := &target{answer: func(context.Context) Answer { return Answer{Failure: "not connected", Unreached: true} }}
		r := Load{Connections: 1, Duration: time.Second}.Run(t.Context(), to)
		assert.Equal(t, int64(20), r.Failed, "it pauses, and does not burn a core")
		assert.Zero(t, r.Answered())
	})
}

func TestInterrupt(t *testing.T) {
	t.Parallel()
	for name, rate := range map[string]float64{"closed": 0, "open": 100} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second+5*time.Millisecond)
				defer cancel()
				to := &target{answer: takes(100 * time.Millisecond)}
				r := Load{Connections: 4, Rate: rate, Duration: time.Hour, sleep: pause}.Run(ctx, to)
				assert.True(t, r.Interrupted)
				assert.InDelta(t, 3, r.Seconds, 0.01)
				assert.Zero(t, r.Failed, "those that were cut off did not fail")
				assert.InDelta(t, 4*30, r.Answered(), 3, "what there is")
				assert.InDelta(t, 40, r.Rate, 1.5)
				if rate == 0 {
					assert.Equal(t, int64(4), r.Unanswered)
				} else {
					// 301 should have begun, and only 40 a second can.
					assert.Equal(t, int64(301), r.Requests)
					assert.InDelta(t, 1800, r.Latency.Max, 50, "what never began has waited too")
				}
				assert.Zero(t, to.open.Load())
			})
		})
	}
}

func TestWarmupInterrupted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r := Load{Connections: 4, Warmup: time.Minute}.Run(ctx, &target{answer: takes(time.Millisecond)})
		assert.True(t, r.Interrupted)
		assert.Zero(t, r.Requests)
		assert.Zero(t, r.Seconds)
		assert.Zero(t, r.Rate)
	})
}

func TestAnswersAreAwaitedForAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := &target{answer: takes(1500 * time.Millisecond)}
		r := Load{Connections: 1, Duration: time.Second, Drain: time.Second}.Run(t.Context(), slow)
		assert.Equal(t, int64(1), r.Answered())
		assert.InDelta(t, 1.5, r.Seconds, 0.01, "up to the last answer")

		never := &target{answer: takes(time.Hour)}
		r = Load{Connections: 1, Duration: time.Second, Drain: 2 * time.Second}.Run(t.Context(), never)
		assert.Equal(t, int64(1), r.Unanswered)
		assert.InDelta(t, 3000, r.Latency.Max, 10, "it took at least so long")
		assert.False(t, r.Interrupted)
	})
}

func TestProgress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var all []Progress
		n := 0
		answer := takes(10 * time.Millisecond)
		to := &target{answer: func(ctx context.Context) Answer {
			a := answer(ctx)
			if n++; n == 250 {
				a.Failure = "status 503"
			}
			return a
		}}
		Load{
			Connections: 1, Warmup: time.Second, Duration: 2500 * time.Millisecond,
			Progress: func(p Progress) { all = append(all, p) },
		}.Run(t.Context(), to)
		require.Len(t, all, 3)
		assert.True(t, all[0].Warmup)
		assert.InDelta(t, 100, all[0].Rate, 1)
		assert.Contains(t, all[0].String(), "warming up")
		assert.False(t, all[1].Warmup)
		assert.InDelta(t, 100, all[1].Rate, 2)
		assert.InDelta(t, 10, all[1].Latency.P50, 0.1)
		assert.Zero(t, all[1].Failed)
		assert.Equal(t, 3*time.Second, all[2].Elapsed)
		assert.Equal(t, int64(1), all[2].Failed)
		assert.Contains(t, all[2].String(), "failed 1 (status 503)")
	})
}
