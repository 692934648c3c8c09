package faults

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus/wire"
)

// replaceWorker kills one of the workers at any moment, and starts another.
func (s *stage) replaceWorker() {
	s.t.Helper()
	i := s.rng.IntN(len(s.workers))
	s.fault()
	s.workers[i].Kill()
	s.workers[i] = s.worker()
}

func TestWorkerKilled(t *testing.T) {
	t.Parallel()
	s := newStage(t, setting{workers: 3})
	stop := s.load(8, usual)
	for range times(8, 200) {
		s.works(20)
		s.pass(s.between(0, 50*time.Millisecond))
		s.replaceWorker()
	}
	s.works(20)
	stop()
	n := s.check("worker-kill", false)
	assert.Zero(t, n.unknown)
	assert.Zero(t, n.dead)
	assert.Zero(t, n.refused)
}

func TestWorkerFrozen(t *testing.T) {
	t.Parallel()
	const late = "a late outcome was refused"
	s := newStage(t, setting{workers: 2})
	stop := s.load(4, usual)
	for range times(3, 50) {
		n := s.number()
		answer := make(chan *call, 1)
		go func() { answer <- s.callAs(n, 0, false, work{MS: 200, Do: "stubborn"}) }()
		frozen := s.running(n)
		before := countOf(frozen, late)
		s.fault()
		frozen.freeze()
		c := <-answer
		frozen.thaw()
		assert.Equal(t, answered, c.fate, c.said)
		s.eventually("its late outcome is refused", func() bool { return countOf(frozen, late) > before })
		s.works(20)
	}
	stop()
	s.check("worker-freeze", false)
}

// A request with a slow handler stays with its worker.
func TestLongWorkRunsOnce(t *testing.T) {
	t.Parallel()
	s := newStage(t, setting{workers: 3, idle: calmIdleLimit})
	var asking sync.WaitGroup
	for _, safe := range []bool{true, false} {
		asking.Go(func() {
			c := s.call(0, safe, work{MS: int(5 * s.set.idle / time.Millisecond)})
			assert.Equal(t, answered, c.fate, c.said)
		})
	}
	asking.Wait()
	n := s.check("long-work", false)
	assert.Equal(t, 2, n.run)
}

// Workers do not read requests without a free slot, so that no other worker takes them over.
func TestBurstIsNotStolen(t *testing.T) {
	t.Parallel()
	s := newStage(t, setting{workers: 2, concurrency: 1, idle: calmIdleLimit})
	calls := times(20, 40)
	var asking sync.WaitGroup
	for i := range calls {
		asking.Go(func() { s.call(0, i%2 == 0, work{MS: 300}) })
	}
	asking.Wait()
	n := s.check("prefetch-age", false)
	assert.Equal(t, calls, n.answered)
	assert.Equal(t, calls, n.run)
}

// A request that kills its workers becomes a dead letter.
func TestPoisonBecomesADeadLetter(t *testing.T) {
	t.Parallel()
	const attempts = 3
	s := newStage(t, setting{workers: attempts + 1, attempts: attempts})
	for _, safe := range []bool{false, true} {
		c := s.call(0, safe, work{Do: "die"})
		assert.Equal(t, dead, c.fate, c.said)
		for i, w := range s.workers {
			select {
			case <-w.Gone():
				s.workers[i] = s.worker()
				s.workers[i].works()
			default:
			}
		}
	}
	s.works0(4)
	n := s.check("poison", false)
	assert.Equal(t, 2, n.dead)
	assert.Equal(t, 2*attempts+4, n.run)
	assert.Len(t, s.letters(), 2)
}

// The consumers of dead workers are removed from Redis.
func TestDeadConsumersAreRemoved(t *testing.T) {
	t.Parallel()
	s := newStage(t, setting{})
	consumers := func() int {
		found, err := s.conn.Redis().XInfoConsumers(t.Context(), s.conn.Keys.Requests(service), wire.Group).Result()
		require.NoError(t, err)
		return len(found)
	}
	stop := s.load(4, usual)
	killed := 0
	for i := range times(30, 500) {
		w := s.worker()
		w.works()
		if i%10 == 0 {
			w.Kill()
			killed++
		} else {
			w.terminate()
		}
	}
	s.works(20)
	stop()
	n := s.check("dead-consumers", false)
	assert.Zero(t, n.unknown+n.dead+n.refused)
	assert.LessOrEqual(t, consumers(), len(s.workers)+killed)
	if form() == full {
		for _, w := range s.workers {
			w.Kill()
		}
		s.pass(time.Minute + time.Second) // after which a consumer counts as dead
		last := s.worker()
		last.works()
		s.eventually("the next worker removes the dead consumers", func() bool { return consumers() <= 1 })
	}
}
