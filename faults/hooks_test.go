package faults

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/oskadev/mailroom/bus"
)

// TestStruckBetweenSteps kills or freezes a process between two steps of a request path,
// for each pair of steps, under safe and unsafe load.
func TestStruckBetweenSteps(t *testing.T) {
	t.Parallel()
	gateways := []bus.Step{bus.StepEnqueue, bus.StepEnqueued, bus.StepReply}
	for _, step := range []bus.Step{
		bus.StepEnqueue, bus.StepEnqueued, bus.StepDelivered, bus.StepClaimed, bus.StepBegin, bus.StepRan, bus.StepSettle, bus.StepSettled, bus.StepReply,
	} {
		for _, what := range []string{"kill", "freeze"} {
			for _, safe := range []bool{true, false} {
				name := fmt.Sprintf("%s/%s/%s", what, step, map[bool]string{true: "safe", false: "unsafe"}[safe])
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					if slices.Contains(gateways, step) {
						strikeGateway(t, step, what, safe)
					} else {
						strikeWorker(t, step, what, safe)
					}
				})
			}
		}
	}
}

// strikes is the number of faults per step, each at another moment of the load.
func strikes() int { return times(1, 5) }

// struck waits until the process has reached its step and is dead or frozen.
func (s *stage) struck(p *process, what string, before int) {
	s.t.Helper()
	s.eventually("the step is reached", func() bool {
		n := 0
		for _, e := range s.ledger.read(s.t) {
			if e.what == "hook" {
				n++
			}
		}
		return n > before
	})
	s.fault()
	if what == "kill" {
		p.ended()
	}
}

func strikeWorker(t *testing.T, step bus.Step, what string, safe bool) {
	t.Helper()
	s := newStage(t, setting{workers: 1})
	for i := range strikes() {
		hook := fmt.Sprintf("%s=%s:%s:%d", envHook, step, what, 1+s.rng.IntN(6))
		if step == bus.StepClaimed {
			hook = fmt.Sprintf("%s=%s:%s:1", envHook, step, what)
		}
		hooked := s.worker(hook)
		hooked.works()
		stop := s.loadOf(4, safe)
		if step == bus.StepClaimed {
			s.works(5)
			s.killBusy(s.workers[0]) // the other worker claims its requests
		}
		s.struck(hooked, what, i)
		if step == bus.StepClaimed {
			s.workers[0] = s.worker()
		}
		s.works(10)
		if what == "freeze" {
			// Long enough for the other processes to claim its requests and end them.
			s.pass(2 * s.set.idle)
			hooked.thaw()
		}
		s.works(10)
		stop()
		s.quiet()
		hooked.Kill()
	}
	n := s.check(t.Name(), false)
	assert.Zero(t, n.unknown, "a lost worker costs callers nothing but time")
	assert.Zero(t, n.dead)
	assert.Zero(t, n.refused)
	assert.LessOrEqual(t, n.slowest, 2*s.set.idle+2*time.Second)
}

func strikeGateway(t *testing.T, step bus.Step, what string, safe bool) {
	t.Helper()
	s := newStage(t, setting{gateways: 2})
	for i := range strikes() {
		s.gateways[0].Kill()
		s.gateways[0] = s.gateway(0, fmt.Sprintf("%s=%s:%s:%d", envHook, step, what, 1+s.rng.IntN(6)))
		s.serves(0)
		stop := s.loadOf(6, safe)
		s.struck(s.gateways[0], what, i)
		for range 10 { // the other process still serves
			c := s.call(1, safe, work{})
			assert.Equal(t, answered, c.fate, c.said)
		}
		if what == "freeze" {
			s.pass(2 * s.set.idle)
			s.gateways[0].thaw()
		} else {
			s.gateways[0] = s.gateway(0)
			s.serves(0)
		}
		s.works(10)
		stop()
	}
	n := s.check(t.Name(), false)
	assert.Zero(t, n.dead)
	if what == "freeze" {
		assert.Zero(t, n.unknown, "a frozen gateway costs its callers nothing but time")
	}
	assert.LessOrEqual(t, n.unknown, 6*strikes(), "only those who waited there")
}

// loadOf is like load, for one kind of step.
func (s *stage) loadOf(callers int, safe bool) (stop func()) {
	return s.loadBy(callers, usual, func() bool { return safe })
}

// killBusy kills a worker that runs a handler.
func (s *stage) killBusy(w *process) {
	s.t.Helper()
	s.eventually("a worker is caught in a handler", func() bool {
		w.freeze()
		open := make(map[string]bool)
		for _, e := range s.ledger.read(s.t) {
			switch {
			case e.what == "run" && e.pid == w.PID():
				open[e.id] = true
			case e.what == "end" && e.pid == w.PID(), e.what == "settled":
				delete(open, e.id)
			}
		}
		if len(open) == 0 {
			w.thaw()
			return false
		}
		w.Kill()
		return true
	})
}
