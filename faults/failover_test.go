package faults

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/api"
	"github.com/oskadev/mailroom/testsupport"
)

// untrue returns how many callers of unsafe actions got an outcome that Redis does not have
// now.
func (s *stage) untrue() int {
	s.t.Helper()
	s.quiet()
	records := s.records()
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, c := range s.calls {
		if k := records[c.id]; c.fate == answered && !c.safe && (k.state != "done" || k.run != c.run) {
			n++
		}
	}
	return n
}

// outage prints how long callers got no answers after a fault, and requires a limit. The short
// form runs beside other tests, which delay votes: twice the limit is allowed there.
func (s *stage) outage(name string, n *totals, limit time.Duration) {
	s.t.Helper()
	_, err := fmt.Fprintf(s.t.Output(), "%s: an outage of %.2f s\n", name, n.recovered.Seconds())
	require.NoError(s.t, err)
	assert.Less(s.t, n.recovered, time.Duration(times(2, 1))*limit)
}

func unsafe() bool { return false }

// The master is killed under load. A replica takes over, and no outcome that a caller has is
// lost.
func TestSentinelMasterKilled(t *testing.T) {
	t.Parallel()
	group := testsupport.StartSentinels(t)
	s := newStage(t, setting{url: group.URL(), minReplicas: api.AllReplicas})
	stop := s.loadBy(16, usual, unsafe)
	for left := times(1, 5); left > 0; left-- {
		master := group.Master()
		s.works(100)
		s.fault()
		master.Kill()
		next := group.AwaitFailover(master)
		s.works(100)
		if left > 1 {
			master.Restart()
			next.AwaitReplicas(2)
		}
	}
	stop()
	assert.Zero(t, s.untrue())
	s.outage("sentinel-kill", s.check("sentinel-kill", true), 5*time.Second)
}

// The links of the replicas are cut under load, and then the master is frozen. The outcomes
// that only it has are not told, neither before nor after the failover.
func TestSentinelLinksCut(t *testing.T) {
	t.Parallel()
	for range times(1, 5) {
		group := testsupport.StartSentinels(t)
		s := newStage(t, setting{url: group.URL(), minReplicas: api.AllReplicas})
		stop := s.loadBy(64, usual, unsafe)
		master := group.Master()
		s.works(200)
		master.CutReplicas()
		s.pass(s.between(0, 600*time.Millisecond))
		s.fault()
		master.Freeze()
		group.AwaitFailover(master)
		s.works(100)
		master.Thaw()
		s.works(100)
		stop()
		assert.Zero(t, s.untrue())
		s.outage("sentinel-cut", s.check("sentinel-cut", true), 8*time.Second)
	}
}

// The master of a service is killed under load, and its replica takes over.
func TestClusterMasterKilled(t *testing.T) {
	t.Parallel()
	cluster := testsupport.StartCluster(t, 3, 1)
	s := newStage(t, setting{url: cluster.URL()})
	stop := s.load(16, usual)
	master := cluster.Master(s.conn.Keys.Requests(service))
	s.works(100)
	s.fault()
	master.Kill()
	s.works(100)
	stop()
	s.outage("cluster-kill", s.check("cluster-kill", true), 7*time.Second)
}

// A planned failover of a cluster loses nothing, and fails no request.
func TestClusterFailoverFailsNoRequest(t *testing.T) {
	t.Parallel()
	cluster := testsupport.StartCluster(t, 3, 1)
	s := newStage(t, setting{url: cluster.URL(), idle: calmIdleLimit})
	stop := s.load(16, usual)
	for range times(1, 5) {
		s.works(100)
		s.fault()
		cluster.Failover(s.conn.Keys.Requests(service)).AwaitReplicas(1)
		s.works(100)
	}
	stop()
	assert.Zero(t, s.untrue())
	n := s.check("cluster-failover", false)
	s.outage("cluster-failover", n, 2*time.Second)
	assert.Zero(t, n.refused+n.unknown+n.dead)
}
