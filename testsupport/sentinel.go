package testsupport

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	// masterName is the name by which the Sentinels know the master.
	masterName = "mymaster"
	// downAfter is the silence after which a Sentinel counts a server as down.
	downAfter = time.Second
	// topologyWait is the longest wait for a group of servers.
	topologyWait = 30 * time.Second
)

// SentinelGroup is a master with two replicas and three Sentinels of one test. Two of them agree on a failover, when the
// master has been silent for a second. Call its methods from the goroutine of the test: an error fails the test.
type SentinelGroup struct {
	t testing.TB
	// Servers are the master of the start and its replicas.
	Servers   []*RedisServer
	sentinels []*RedisServer
}

// StartSentinels starts a group, and returns when the Sentinels know all servers and each other, and the replicas follow.
// args are further options of the servers; see [StartRedis].
func StartSentinels(t testing.TB, args ...string) *SentinelGroup {
	t.Helper()
	g := &SentinelGroup{t: t}
	// A replica gets the data at once, and does not wait for others that may come.
	args = append([]string{"--repl-diskless-sync-delay", "0"}, args...)
	g.Servers = append(g.Servers, StartRedis(t, args...))
	host, port, _ := strings.Cut(g.Servers[0].Addr(), ":")
	for range 2 {
		g.Servers = append(g.Servers, StartRedis(t, append(args, "--replicaof", host+" "+port)...))
	}
	for range 3 {
		config := filepath.Join(t.TempDir(), "sentinel.conf") // a Sentinel rewrites it
		text := fmt.Sprintf("sentinel monitor %[1]s %[2]s %[3]s 2\nsentinel down-after-milliseconds %[1]s %[4]d\n"+
			"sentinel failover-timeout %[1]s 3000\nsentinel parallel-syncs %[1]s 2\n", masterName, host, port, downAfter.Milliseconds())
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatalf("write the configuration of a Sentinel: %v", err)
		}
		g.sentinels = append(g.sentinels, startServer(t, []string{config, "--sentinel"}, nil))
	}
	g.awaitKnown()
	return g
}

// awaitKnown waits until each Sentinel knows the two others and two replicas, which are connected.
func (g *SentinelGroup) awaitKnown() {
	g.t.Helper()
	Eventually(g.t, topologyWait, "the replicas follow", func() bool { return g.Servers[0].onlineReplicas() == 2 })
	for _, s := range g.sentinels {
		Eventually(g.t, topologyWait, "a Sentinel knows the group", func() bool {
			state := pairs(s.Do("SENTINEL", "MASTER", masterName))
			if state["num-slaves"] != "2" || state["num-other-sentinels"] != "2" || state["flags"] != "master" {
				return false
			}
			replicas, _ := s.Do("SENTINEL", "REPLICAS", masterName).([]any)
			for _, r := range replicas {
				if replica := pairs(r); replica["flags"] != "slave" || replica["master-link-status"] != "ok" {
					return false
				}
			}
			return true
		})
	}
}

// URL returns the address of the group, redis+sentinel://….
func (g *SentinelGroup) URL() string {
	addrs := make([]string, len(g.sentinels))
	for i, s := range g.sentinels {
		addrs[i] = s.Addr()
	}
	return "redis+sentinel://" + strings.Join(addrs, ",") + "/" + masterName
}

// Master returns the server that most Sentinels name as the master.
func (g *SentinelGroup) Master() *RedisServer {
	g.t.Helper()
	votes := map[string]int{}
	for _, sentinel := range g.sentinels {
		addr, _ := sentinel.Do("SENTINEL", "GET-MASTER-ADDR-BY-NAME", masterName).([]any)
		votes[fmt.Sprintln(addr...)]++
	}
	for _, s := range g.Servers {
		if host, port, _ := strings.Cut(s.Addr(), ":"); votes[fmt.Sprintln(host, port)] > len(g.sentinels)/2 {
			return s
		}
	}
	return nil
}

// AwaitFailover waits until most Sentinels name another master than before, which takes writes, and returns it.
func (g *SentinelGroup) AwaitFailover(before *RedisServer) *RedisServer {
	g.t.Helper()
	var master *RedisServer
	Eventually(g.t, topologyWait, "another server is the master", func() bool {
		master = g.Master()
		return master != nil && master != before && master.info("replication")["role"] == "master"
	})
	return master
}

// Failover promotes a replica (SENTINEL FAILOVER), which does not wait for it to have all data. It returns the new master.
func (g *SentinelGroup) Failover() *RedisServer {
	g.t.Helper()
	before := g.Master()
	// A Sentinel notices only after a while that a replica follows a new master.
	Eventually(g.t, topologyWait, "the Sentinel promotes a replica", func() bool {
		_, err := g.sentinels[0].try("SENTINEL", "FAILOVER", masterName)
		return err == nil
	})
	return g.AwaitFailover(before)
}

// CutReplicas closes the links of the replicas of a server, and refuses new ones until [RedisServer.LinkReplicas].
// The replicas stay reachable, and can become masters.
func (s *RedisServer) CutReplicas() {
	s.t.Helper()
	s.Do("ACL", "SETUSER", "default", "-psync", "-sync")
	s.Do("CLIENT", "KILL", "TYPE", "replica")
	Eventually(s.t, topologyWait, "the links are cut", func() bool { return s.onlineReplicas() == 0 })
}

// LinkReplicas ends the effect of [RedisServer.CutReplicas]. SYNC stays refused: a replica whose PSYNC was refused just now
// would use it, and would never acknowledge anything.
func (s *RedisServer) LinkReplicas() {
	s.t.Helper()
	s.Do("ACL", "SETUSER", "default", "+psync")
}

// onlineReplicas returns the number of replicas that follow this server.
func (s *RedisServer) onlineReplicas() int {
	n := 0
	for name, value := range s.info("replication") {
		if strings.HasPrefix(name, "slave") && strings.Contains(value, "state=online") {
			n++
		}
	}
	return n
}

// AwaitReplicas waits until n replicas follow this server.
func (s *RedisServer) AwaitReplicas(n int) {
	s.t.Helper()
	Eventually(s.t, topologyWait, strconv.Itoa(n)+" replicas follow", func() bool { return s.onlineReplicas() == n })
}

// info returns the fields of a section of INFO.
func (s *RedisServer) info(section string) map[string]string {
	s.t.Helper()
	text, _ := s.Do("INFO", section).(string)
	return fieldsOf(text)
}

// fieldsOf returns the fields of an answer with one name:value in each line.
func fieldsOf(text string) map[string]string {
	fields := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, found := strings.Cut(strings.TrimSpace(line), ":"); found {
			fields[name] = value
		}
	}
	return fields
}

// pairs returns an answer of names and values.
func pairs(answer any) map[string]string {
	fields := map[string]string{}
	switch list := answer.(type) {
	case []any:
		for i := 0; i+1 < len(list); i += 2 {
			fields[fmt.Sprint(list[i])] = fmt.Sprint(list[i+1])
		}
	case map[any]any:
		for name, value := range list {
			fields[fmt.Sprint(name)] = fmt.Sprint(value)
		}
	}
	return fields
}
