package faults

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// Requests of a killed gateway end exactly once, although no caller waits.
func TestGatewayKilledWhileWaiting(t *testing.T) {
	t.Parallel()
	s := newStage(t, setting{gateways: 2})
	stop := s.loadBy(4, usual, nil)
	for range times(3, 50) {
		const waiting = 10
		var asking sync.WaitGroup
		numbers := make([]int, waiting)
		for i := range numbers {
			n := s.number()
			numbers[i] = n
			asking.Go(func() { s.callAs(n, 0, false, work{MS: 300}) })
		}
		for _, n := range numbers {
			s.running(n)
		}
		s.fault()
		s.gateways[0].Kill()
		s.gateways[0] = s.gateway(0)
		asking.Wait()
		s.serves(0)
		s.works(20)
	}
	stop()
	n := s.check("api-kill", false)
	assert.Zero(t, n.expired+n.dead)
	assert.GreaterOrEqual(t, n.unknown, times(3, 50)*10)
}

// Workers and gateways are replaced under load, and no request fails: the clients keep
// connections open, and try the other gateway if one accepts none.
func TestDrainFailsNoRequest(t *testing.T) {
	t.Parallel()
	s := newStage(t, setting{gateways: 2, idle: calmIdleLimit})
	stop := s.load(8, usual)
	for i := range times(4, 50) {
		s.works(20)
		next := s.worker()
		next.works()
		s.fault()
		s.workers[i%2].terminate()
		s.workers[i%2] = next
		s.works(20)
		s.gateways[i%2].terminate()
		s.gateways[i%2] = s.gateway(i%2, envDrainDelay+"=200")
		s.serves(i % 2)
	}
	s.works(20)
	stop()
	n := s.check("drain", false)
	assert.Zero(t, n.unknown)
	assert.Zero(t, n.refused)
	assert.Zero(t, n.dead)
	assert.Zero(t, n.duplicates)
	assert.Less(t, n.slowest, 5*time.Second)
}
