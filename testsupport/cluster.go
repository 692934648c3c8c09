package testsupport

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// slots is the number of slots of a cluster.
const slots = 16384

const (
	// nodeTimeout is the silence after which a node counts as down.
	nodeTimeout = 2 * time.Second
	// voteInterval is the time for which the masters vote for no other replica of the same master.
	voteInterval = 2*nodeTimeout + time.Second
)

// Cluster is a Redis cluster of one test. Call its methods from the goroutine of the test: an error fails the test.
type Cluster struct {
	t testing.TB
	// Nodes are the masters of the start, then a replica of each, if there are replicas.
	Nodes []*RedisServer
	bus   []int     // the port of each node for other nodes
	voted time.Time // when Failover was called last
}

// StartCluster starts a cluster of some masters, each with so many replicas, and returns when all nodes know it. The slots
// are divided equally. A node that is silent for two seconds is down. args are further options of the servers; see
// [StartRedis].
func StartCluster(t testing.TB, masters, replicas int, args ...string) *Cluster {
	t.Helper()
	c := &Cluster{t: t}
	for range masters * (1 + replicas) {
		port := FreePort(t)
		c.bus = append(c.bus, port)
		c.Nodes = append(c.Nodes, StartRedis(t, append([]string{
			"--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(port), "--repl-diskless-sync-delay", "0",
			"--cluster-node-timeout", strconv.FormatInt(nodeTimeout.Milliseconds(), 10),
		}, args...)...))
	}
	for i, node := range c.Nodes {
		node.Do("CLUSTER", "SET-CONFIG-EPOCH", i+1)
		if i < masters {
			node.Do("CLUSTER", "ADDSLOTSRANGE", slots*i/masters, slots*(i+1)/masters-1)
		}
		for j := range i { // gossip alone takes longer
			host, port, _ := strings.Cut(c.Nodes[j].Addr(), ":")
			node.Do("CLUSTER", "MEET", host, port, c.bus[j])
		}
	}
	c.awaitState("the nodes know each other", func(state map[string]string) bool {
		return state["cluster_known_nodes"] == strconv.Itoa(len(c.Nodes))
	})
	for i, node := range c.Nodes[masters:] {
		master := c.Nodes[i%masters].Do("CLUSTER", "MYID")
		Eventually(t, topologyWait, "a replica knows its master", func() bool {
			_, err := node.try("CLUSTER", "REPLICATE", master)
			return err == nil
		})
	}
	c.awaitState("the cluster is ready", func(state map[string]string) bool {
		return state["cluster_state"] == "ok" && state["cluster_size"] == strconv.Itoa(masters)
	})
	for _, master := range c.Nodes[:masters] {
		master.AwaitReplicas(replicas)
	}
	for _, node := range c.Nodes { // a client that asks it for masters and replicas gets all
		Eventually(t, topologyWait, "each node knows the replicas", func() bool {
			text, _ := node.Do("CLUSTER", "NODES").(string)
			return strings.Count(text, " slave ")+strings.Count(text, ",slave ") == masters*replicas
		})
	}
	return c
}

// awaitState waits until the CLUSTER INFO of all nodes meets a condition.
func (c *Cluster) awaitState(what string, holds func(state map[string]string) bool) {
	c.t.Helper()
	for _, node := range c.Nodes {
		Eventually(c.t, topologyWait, what, func() bool {
			text, _ := node.Do("CLUSTER", "INFO").(string)
			return holds(fieldsOf(text))
		})
	}
}

// URL returns the address of the cluster, redis+cluster://….
func (c *Cluster) URL() string {
	addrs := make([]string, len(c.Nodes))
	for i, node := range c.Nodes {
		addrs[i] = node.Addr()
	}
	return "redis+cluster://" + strings.Join(addrs, ",")
}

// Master returns the master of the slot of a key, as the first node that answers knows it.
func (c *Cluster) Master(key string) *RedisServer {
	c.t.Helper()
	for _, node := range c.Nodes {
		slot, err := node.try("CLUSTER", "KEYSLOT", key)
		if err != nil {
			continue
		}
		ranges, err := node.try("CLUSTER", "SLOTS")
		if err != nil {
			continue
		}
		for _, r := range ranges.([]any) { //nolint:forcetypeassert // CLUSTER SLOTS returns ranges
			if of, _ := r.([]any); of[0].(int64) <= slot.(int64) && slot.(int64) <= of[1].(int64) { //nolint:forcetypeassert // likewise
				return c.at(of[2].([]any)[1].(int64)) //nolint:forcetypeassert // the host and the port of the master
			}
		}
	}
	return nil
}

// at returns the node with a port.
func (c *Cluster) at(port int64) *RedisServer {
	for _, node := range c.Nodes {
		if int64(node.port) == port {
			return node
		}
	}
	return nil
}

// Replica returns a replica of a master.
func (c *Cluster) Replica(master *RedisServer) *RedisServer {
	c.t.Helper()
	for _, node := range c.Nodes {
		if state := node.info("replication"); state["role"] == "slave" && state["master_port"] == strconv.Itoa(master.port) {
			return node
		}
	}
	c.t.Fatalf("%s has no replica", master.Addr())
	return nil
}

// Failover promotes the replica of the master of a key, once it has all data (CLUSTER FAILOVER), and returns it.
func (c *Cluster) Failover(key string) *RedisServer {
	c.t.Helper()
	Eventually(c.t, topologyWait, "the masters vote again", func() bool { return time.Since(c.voted) > voteInterval })
	before := c.Master(key)
	c.Replica(before).Do("CLUSTER", "FAILOVER")
	c.voted = time.Now()
	return c.AwaitFailover(key, before)
}

// AwaitFailover waits until another node than before is the master of the slot of a key and takes writes, and returns it.
func (c *Cluster) AwaitFailover(key string, before *RedisServer) *RedisServer {
	c.t.Helper()
	var master *RedisServer
	Eventually(c.t, topologyWait, "another node is the master", func() bool {
		if master = c.promoted(key); master == nil || master == before {
			return false
		}
		info, err := master.try("CLUSTER", "INFO")
		return err == nil && strings.Contains(fmt.Sprint(info), "cluster_state:ok")
	})
	return master
}

// promoted returns the node that itself counts as the master of the slot of a key.
func (c *Cluster) promoted(key string) *RedisServer {
	master := c.Master(key)
	if master == nil {
		return nil
	}
	role, err := master.try("ROLE")
	if list, _ := role.([]any); err != nil || list[0] != "master" {
		return nil
	}
	return master
}

// Move moves the slot of a key, with its keys, from its master to another master, and returns when all nodes know it.
func (c *Cluster) Move(key string, to *RedisServer) {
	c.t.Helper()
	from := c.Master(key)
	slot := from.Do("CLUSTER", "KEYSLOT", key)
	fromID, toID := from.Do("CLUSTER", "MYID"), to.Do("CLUSTER", "MYID")
	to.Do("CLUSTER", "SETSLOT", slot, "IMPORTING", fromID)
	from.Do("CLUSTER", "SETSLOT", slot, "MIGRATING", toID)
	host, port, _ := strings.Cut(to.Addr(), ":")
	for {
		keys, _ := from.Do("CLUSTER", "GETKEYSINSLOT", slot, 100).([]any)
		if len(keys) == 0 {
			break
		}
		from.Do(append([]any{"MIGRATE", host, port, "", 0, 5000, "KEYS"}, keys...)...)
	}
	for _, server := range []*RedisServer{to, from} {
		server.Do("CLUSTER", "SETSLOT", slot, "NODE", toID)
	}
}
