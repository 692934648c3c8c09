package testsupport

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// A group starts fast, promotes a replica when its master ends, and when told to.
func TestSentinelsFailOver(t *testing.T) {
	t.Parallel()
	began := time.Now()
	g := StartSentinels(t)
	t.Logf("started in %s", time.Since(began).Round(time.Millisecond))
	first := g.Master()
	assert.Same(t, g.Servers[0], first)

	first.CutReplicas()
	first.LinkReplicas()
	first.AwaitReplicas(2)

	killed := time.Now()
	first.Kill()
	second := g.AwaitFailover(first)
	t.Logf("another master after %s", time.Since(killed).Round(time.Millisecond))
	second.AwaitReplicas(1)
	assert.NotSame(t, second, g.Failover())
}

// A cluster starts fast, promotes a replica when its master ends, and when told to, and moves a slot.
func TestClusterFailsOver(t *testing.T) {
	t.Parallel()
	began := time.Now()
	c := StartCluster(t, 3, 1)
	t.Logf("started in %s", time.Since(began).Round(time.Millisecond))
	const key = "{things}"
	first := c.Master(key)
	replica := c.Replica(first)
	first.Do("SET", key, "1")
	assert.Same(t, replica, c.Failover(key))
	replica.AwaitReplicas(1)

	killed := time.Now()
	replica.Kill()
	assert.Same(t, first, c.AwaitFailover(key, replica))
	t.Logf("another master after %s", time.Since(killed).Round(time.Millisecond))

	for _, to := range c.Nodes[:3] {
		if to != first && to != replica {
			c.Move(key, to)
			assert.Equal(t, "1", to.Do("GET", key))
			break
		}
	}
}
