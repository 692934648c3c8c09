package faults

import (
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus/admin"
)

// poisoned makes calls at once, one of which kills every worker that runs it, and replaces
// workers that have ended. All others are answered.
func (s *stage) poisoned(innocent, ms int) {
	s.t.Helper()
	poison := s.rng.IntN(innocent + 1)
	done := make(chan struct{})
	var asking sync.WaitGroup
	for i := range innocent + 1 {
		w, safe := work{MS: ms}, i%4 == 1
		if i == poison {
			w, safe = work{Do: "die"}, false
		}
		asking.Go(func() { s.call(0, safe, w) })
	}
	go func() {
		asking.Wait()
		close(done)
	}()
	for running := true; running; {
		select {
		case <-done:
			running = false
		case <-time.After(20 * time.Millisecond):
			s.restart()
		}
	}
	s.restart()
	s.quiet()
	fates := make(map[string]int)
	for _, c := range s.calls {
		fates[c.fate]++
	}
	if s.set.timeout >= 15*time.Second { // on a busy machine, shorter ones pass
		assert.Equal(s.t, innocent, fates[answered], fates)
	}
	letters, err := admin.DeadLetters(s.t.Context(), s.conn, service, "", 10)
	require.NoError(s.t, err)
	if assert.Len(s.t, letters, 1) {
		assert.Contains(s.t, letters[0].Error, "beside it")
	}
}

// restart replaces the workers that have ended.
func (s *stage) restart() {
	s.t.Helper()
	for i, w := range s.workers {
		select {
		case <-w.Gone():
			s.workers[i] = s.worker()
		default:
		}
	}
}

// A request that kills its worker makes no dead letters of the requests beside it.
func TestPoisonSparesItsNeighbours(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]struct {
		ms, workers   int
		idle, timeout time.Duration
	}{
		"fast": {0, 2, time.Second, 0}, "slow": {1000, 2, time.Second, 0}, "one worker": {200, 1, time.Second, 0},
		"default limits": {1000, 2, 3 * time.Second, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, setting{workers: set.workers, idle: set.idle, timeout: set.timeout})
			s.poisoned(100, set.ms)
			s.check("poison beside "+name, false)
		})
	}
}

// The same holds for the children of mailroom serve.
func TestPoisonSparesItsNeighboursUnderAHost(t *testing.T) {
	t.Parallel()
	for name, ms := range map[string]int{"fast": 0, "slow": 1000} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			newHosted(t, setting{idle: time.Second}).poisoned(100, ms)
		})
	}
}

// newHosted starts a stage whose service runs in the children of one host.
func newHosted(t *testing.T, set setting) *stage {
	t.Helper()
	c := &cast{python: requirePython(t)}
	source, err := filepath.Abs("../clients/python/src")
	require.NoError(t, err)
	set.workers, set.others = -1, func(s *stage) {
		c.stage = s
		c.env = []string{"PYTHONPATH=" + source, "PYTHONDONTWRITEBYTECODE=1"}
		s.workers = []*process{c.host()}
	}
	return newStage(t, set)
}

// A pause of Redis that is longer than the idle limit runs nothing again: all workers are
// alive. A worker that starts after the pause has not seen it.
func TestPauseRunsNothingAgain(t *testing.T) {
	t.Parallel()
	for _, pause := range []time.Duration{3500 * time.Millisecond, 8 * time.Second, 30 * time.Second} {
		t.Run(pause.String(), func(t *testing.T) {
			t.Parallel()
			if pause > 5*time.Second && form() == short {
				t.Skip("make faults runs it")
			}
			s := newStage(t, setting{workers: 2, idle: calmIdleLimit, timeout: 2 * time.Minute})
			s.client.Timeout = 2 * time.Minute
			const calls = 90
			var asking sync.WaitGroup
			for i := range calls {
				ms := int(pause/time.Millisecond) + 500 + rand.IntN(4500)
				asking.Go(func() { s.call(0, i%4 == 1, work{MS: ms}) })
			}
			s.eventually("all calls run", func() bool { return s.runs(nil) == calls })
			s.pass(s.between(0, s.set.idle))
			s.redis.Freeze()
			s.pass(pause)
			s.redis.Thaw()
			s.fault()
			s.workers = append(s.workers, s.worker())
			asking.Wait()
			assert.Zero(t, s.runs(func(e event) bool { return e.attempt > 1 }))
			n := s.check("pause of "+pause.String(), false)
			assert.Zero(t, n.unsafe) // callers may repeat a safe request whose reply was lost
			assert.Equal(t, calls, n.answered)
		})
	}
}

// runs returns the number of runs that have begun, of those that match.
func (s *stage) runs(match func(event) bool) (n int) {
	s.t.Helper()
	for _, e := range s.ledger.read(s.t) {
		if e.what == "run" && (match == nil || match(e)) {
			n++
		}
	}
	return n
}
