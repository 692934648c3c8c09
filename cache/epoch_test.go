package cache

import (
	"context"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/testsupport"
)

// failoverClient returns a client like that of a process of Mailroom.
func failoverClient(t *testing.T, url string) redis.UniversalClient {
	t.Helper()
	options := redis.UniversalOptions{
		MaxRetries: -1, DialerRetries: 1, ContextTimeoutEnabled: true, Protocol: 2, DisableIdentity: true,
		DialTimeout: time.Second, ReadTimeout: time.Second,
	}
	if hosts, found := strings.CutPrefix(url, "redis+sentinel://"); found {
		hosts, options.MasterName, _ = strings.Cut(hosts, "/")
		options.Addrs = strings.Split(hosts, ",")
	} else {
		options.Addrs, options.IsClusterMode = strings.Split(strings.TrimPrefix(url, "redis+cluster://"), ","), true
	}
	rdb := redis.NewUniversalClient(&options)
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// versioned are entries of one value that changes.
type versioned struct {
	t     *testing.T
	keys  int
	value atomic.Int64
}

func (v *versioned) query(i int) *Query { return query("key" + strconv.Itoa(i)) }

// stale asks for all keys, and returns how many answers are older than the value.
func (v *versioned) stale(c *Cache) (stale, bypassed int) {
	v.t.Helper()
	for i := range v.keys {
		want := strconv.FormatInt(v.value.Load(), 10)
		a, err := c.Do(v.t.Context(), v.query(i), func(context.Context) Outcome { return Outcome{Value: want, Store: true} })
		require.NoError(v.t, err)
		if a.Value != want {
			stale++
		}
		if a.Source == Bypassed {
			bypassed++
		}
	}
	return stale, bypassed
}

// change changes the value and invalidates all keys.
func (v *versioned) change(inv *Invalidator) {
	v.t.Helper()
	v.value.Add(1)
	for i := range v.keys {
		require.NoError(v.t, inv.Invalidate(v.t.Context(), "things", v.query(i).Tags...))
	}
}

// A failover may lose invalidations. Afterwards no entry of before is returned.
func TestSentinelFailoverLeavesNothingStale(t *testing.T) {
	t.Parallel()
	group := testsupport.StartSentinels(t)
	log, _ := testsupport.Logger(t)
	var caches []*Cache
	for range 2 {
		c, err := New(failoverClient(t, group.URL()), Config{Logger: log, LocalTTL: time.Minute})
		require.NoError(t, err)
		t.Cleanup(c.Close)
		caches = append(caches, c)
	}
	inv := NewInvalidator(failoverClient(t, group.URL()), Config{Logger: log}, nil)
	t.Cleanup(inv.Close)
	v := &versioned{t: t, keys: 400}
	for _, c := range caches {
		testsupport.Eventually(t, patience, "the entries are stored", func() bool {
			stale, _ := v.stale(c)
			return stale == 0 && c.Stats().Stored+c.Stats().Answers[Shared] >= uint64(v.keys)
		})
	}
	before := group.Master()
	before.Do("WAIT", 2, 5000)
	before.CutReplicas()
	v.change(inv)
	killed := time.Now()
	before.Kill()
	group.AwaitFailover(before)
	promoted := time.Now()
	t.Logf("another master after %s", promoted.Sub(killed).Round(time.Millisecond))
	for _, c := range caches {
		testsupport.Eventually(t, patience, "the cache is used again", func() bool {
			_, bypassed := v.stale(c)
			return bypassed == 0
		})
	}
	t.Logf("used again %s later", time.Since(promoted).Round(time.Millisecond))
	testsupport.Eventually(t, patience, "a second has passed", func() bool { return time.Since(promoted) > time.Second })
	for _, c := range caches {
		stale, _ := v.stale(c)
		assert.Zero(t, stale)
	}
}

// A restarted server may have lost invalidations of the last second: its entries do not count.
func TestRestartBeginsAnEpoch(t *testing.T) {
	t.Parallel()
	server := testsupport.StartRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	s := newFixture(t, server.URL())
	c := s.cache(withLocal)
	s.gets(c, query("a"), "1", Led)
	s.filled(c, 1)
	before, err := c.Nonce(t.Context(), "things", "tag:a")
	require.NoError(t, err)
	server.Restart()
	testsupport.Eventually(t, patience, "the entry is made again", func() bool {
		a, err := c.Do(t.Context(), query("a"), s.counted)
		require.NoError(t, err)
		return a.Source == Led
	})
	after, err := c.Nonce(t.Context(), "things", "tag:a")
	require.NoError(t, err)
	assert.NotEqual(t, before, after, "subscribers are told")
}

// On a cluster, each master has its own epoch.
func TestClusterFailoverBeginsOneEpoch(t *testing.T) {
	t.Parallel()
	cluster := testsupport.StartCluster(t, 3, 1)
	log, _ := testsupport.Logger(t)
	c, err := New(failoverClient(t, cluster.URL()), Config{Logger: log, LocalBytes: -1})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	moved, other := "things", "others"
	for i := 0; cluster.Master("{"+other+"}") == cluster.Master("{"+moved+"}"); i++ {
		other = "others" + strconv.Itoa(i)
	}
	source := func(space string) Source {
		q := query("a")
		q.Space = space
		a, err := c.Do(t.Context(), q, func(context.Context) Outcome { return Outcome{Value: "1", Store: true} })
		require.NoError(t, err)
		return a.Source
	}
	for _, space := range []string{moved, other} {
		testsupport.Eventually(t, patience, "the entry is stored", func() bool { return source(space) == Shared })
	}
	cluster.Failover("{" + moved + "}")
	testsupport.Eventually(t, patience, "the entry is made again", func() bool { return source(moved) == Led })
	assert.Equal(t, Shared.String(), source(other).String())
}
