package cache

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/testsupport"
)

func TestInvalidateMakesEntriesInvalid(t *testing.T) {
	t.Parallel()
	s := newFixture(t, testsupport.Miniredis(t))
	a, b := s.cache(), s.cache(withLocal)
	q, other := query("7"), query("8")
	s.gets(a, q, "1", Led)
	s.gets(a, other, "2", Led)
	s.filled(a, 2)
	s.gets(b, q, "1", Shared)
	s.gets(b, other, "2", Shared)
	require.NoError(t, s.inv.Invalidate(t.Context(), q.Space, q.Tags...))
	s.gets(a, q, "3", Led)
	testsupport.Eventually(t, patience, "the local entry is dropped", func() bool {
		_, ok := b.Local(q.Space, q.Identity)
		return !ok
	})
	s.gets(b, other, "2", Local)
	s.filled(a, 3)
	s.gets(b, q, "3", Shared)
}

// The commands that the documentation gives for other languages.
func TestInvalidateByHand(t *testing.T) {
	t.Parallel()
	server := testsupport.StartRedis(t)
	s := newFixture(t, server.URL())
	c := s.cache(withLocal)
	q := query("7")
	s.gets(c, q, "1", Led)
	s.filled(c, 1)
	testsupport.Eventually(t, patience, "the local entry exists", func() bool {
		_, ok := c.Local(q.Space, q.Identity)
		return ok
	})
	server.Do("SET", "mailroom:{things}:tag:tag:7", "any new value", "XX", "KEEPTTL")
	server.Do("PUBLISH", "mailroom:dropped:{things}", "tag:7")
	testsupport.Eventually(t, patience, "the local entry is dropped", func() bool {
		_, ok := c.Local(q.Space, q.Identity)
		return !ok
	})
	s.gets(c, q, "2", Led)
}

func TestALaterReadNeverJoinsAnOlderRun(t *testing.T) {
	t.Parallel()
	s := newFixture(t, testsupport.Miniredis(t))
	a, b := s.cache(), s.cache()
	q := query("7")
	older := newStalled()
	early := s.call(a, q, older.run)
	<-older.begun
	require.NoError(t, s.inv.Invalidate(t.Context(), q.Space, q.Tags...))
	s.gets(a, q, "1", Led)
	s.filled(a, 1)
	s.gets(b, q, "1", Shared)
	older.end <- Outcome{Value: "older", Store: true}
	assert.Equal(t, "older", (<-early).answer.Value)
	s.gets(a, q, "1", Shared)
	s.gets(b, q, "1", Shared)
}

func TestALocalEntryDroppedDuringTheFillIsNotUsed(t *testing.T) {
	t.Parallel()
	s := newFixture(t, testsupport.Miniredis(t))
	stored, drop := make(chan struct{}), make(chan struct{})
	c := s.cache(withLocal, func(c *Config) {
		c.at = func(step step, _ string) {
			if step == stepFilled {
				close(stored)
				<-drop
			}
		}
	})
	q := query("7")
	s.gets(c, q, "1", Led)
	<-stored
	c.Drop(q.Space, q.Tags...)
	close(drop)
	s.filled(c, 1)
	testsupport.Eventually(t, patience, "the local entry is stored", func() bool {
		_, ok := c.local.entries.GetIfPresent(localKey(q.Space, q.Identity))
		return ok
	})
	_, ok := c.Local(q.Space, q.Identity)
	assert.False(t, ok)
}

func TestLocalEntriesExpireSoon(t *testing.T) {
	t.Parallel()
	s := newFixture(t, testsupport.Miniredis(t))
	c := s.cache(func(c *Config) { c.LocalBytes, c.LocalTTL = 1<<20, 100*time.Millisecond })
	q := query("7")
	s.gets(c, q, "1", Led)
	s.filled(c, 1)
	// No message is published, as if it was lost.
	require.NoError(t, s.rdb.Set(t.Context(), "mailroom:{things}:tag:tag:7", "new", 0).Err())
	began := time.Now()
	testsupport.Eventually(t, patience, "the new one is read", func() bool {
		a, err := c.Do(t.Context(), q, s.counted)
		require.NoError(t, err)
		return a.Value == "2"
	})
	assert.Less(t, time.Since(began), 5*time.Second)
}

func TestDroppedTagsAreBounded(t *testing.T) {
	t.Parallel()
	n, err := newLocal(&Config{LocalBytes: 1 << 20, LocalTTL: time.Minute})
	require.NoError(t, err)
	t.Cleanup(n.close)
	q := query("7")
	put := func() {
		n.put(q, entry{value: "x", left: time.Minute, life: time.Minute, at: time.Now()})
	}
	put()
	for i := range maxDropped {
		n.drop("things", []string{time.Duration(i).String()})
	}
	_, ok := n.get(q.Space, q.Identity)
	assert.True(t, ok)
	n.drop("things", []string{"one more"})
	_, ok = n.get(q.Space, q.Identity)
	assert.False(t, ok, "all are dropped then")
	assert.Empty(t, n.dropped)
	put()
	_, ok = n.get(q.Space, q.Identity)
	assert.True(t, ok)
}

func TestAnUnreachableRedisCostsNoAnswer(t *testing.T) {
	t.Parallel()
	server := testsupport.StartRedis(t)
	s := newFixture(t, server.URL())
	proxy := testsupport.StartProxy(t, server.Addr())
	log, logs := testsupport.Logger(t)
	cfg := Config{Logger: log, Timeout: 500 * time.Millisecond, Away: 10 * time.Millisecond}
	rdb := s.client(proxy.URL())
	c, err := New(rdb, cfg)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	var behind atomic.Int64
	inv := NewInvalidator(rdb, cfg, func(n int) { behind.Store(int64(n)) })
	t.Cleanup(inv.Close)

	q := query("7")
	testsupport.Eventually(t, patience, "it is stored", func() bool {
		_, err := c.Do(t.Context(), q, s.counted)
		require.NoError(t, err)
		return c.Stats().Stored > 0
	})
	for _, broken := range []func(bool){proxy.Refuse, proxy.Blackhole} {
		broken(true)
		proxy.Cut()
		require.Error(t, inv.Invalidate(t.Context(), q.Space, q.Tags...))
		require.Error(t, inv.Invalidate(t.Context(), q.Space, "another"))
		assert.EqualValues(t, 2, behind.Load())
		logs.Wait(t, "could not be invalidated")
		testsupport.Eventually(t, patience, "it runs without", func() bool {
			a, err := c.Do(t.Context(), q, s.counted)
			require.NoError(t, err)
			return a.Source == Bypassed
		})
		before := s.runs.Load()
		broken(false)
		testsupport.Eventually(t, patience, "it has caught up", func() bool { return behind.Load() == 0 })
		logs.Wait(t, "now are")
		testsupport.Eventually(t, patience, "it is used again", func() bool {
			a, err := c.Do(t.Context(), q, s.counted)
			require.NoError(t, err)
			return a.Source == Shared
		})
		assert.Greater(t, s.runs.Load(), before, "the older entry was invalidated once Redis was back")
	}
}

func TestScriptsAreLoadedAgain(t *testing.T) {
	t.Parallel()
	server := testsupport.StartRedis(t)
	s := newFixture(t, server.URL())
	c := s.cache()
	for i, identity := range []string{"7", "8"} {
		server.Do("SCRIPT", "FLUSH")
		s.gets(c, query(identity), []string{"1", "2"}[i], Led)
		s.filled(c, uint64(i)+1)
	}
}

func TestNothingIsStoredInAFullRedis(t *testing.T) {
	t.Parallel()
	server := testsupport.StartRedis(t, "--maxmemory", "1mb", "--maxmemory-policy", "noeviction")
	s := newFixture(t, server.URL())
	c := s.cache()
	testsupport.Eventually(t, patience, "it is noticed", func() bool { return c.Stats().Full })
	q := query("7")
	s.gets(c, q, "1", Bypassed)
	s.gets(c, q, "2", Bypassed)
	keys, err := s.rdb.Keys(t.Context(), "*").Result()
	require.NoError(t, err)
	assert.Empty(t, keys)
	server.Do("CONFIG", "SET", "maxmemory", "100mb")
	testsupport.Eventually(t, patience, "there is room again", func() bool { return !c.Stats().Full })
	s.gets(c, q, "3", Led)
	s.filled(c, 1)
	s.gets(c, q, "3", Shared)
}

// A drop that waits for another one does not undo it.
func TestDropsNeverGoBack(t *testing.T) {
	t.Parallel()
	n, err := newLocal(&Config{LocalBytes: 1 << 20, LocalTTL: time.Minute})
	require.NoError(t, err)
	t.Cleanup(n.close)
	q := query("7")
	var dropping sync.WaitGroup
	for range 200 {
		n.mu.Lock()
		dropping.Go(func() { n.drop(q.Space, q.Tags) }) // waits
		runtime.Gosched()
		at := time.Now() // of a lookup before the next drop
		n.mu.Unlock()
		n.drop(q.Space, q.Tags)
		dropping.Wait()
		n.put(q, entry{value: "x", left: time.Minute, life: time.Minute, at: at})
		_, ok := n.get(q.Space, q.Identity)
		require.False(t, ok)
	}
}
