package faults

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/testsupport"
)

func TestRedisKilled(t *testing.T) {
	t.Parallel()
	s := newStage(t, setting{})
	stop := s.load(8, usual)
	for range times(3, 50) {
		s.works(20)
		s.pass(s.between(0, 50*time.Millisecond))
		s.redis.Kill()
		s.pass(s.between(0, 200*time.Millisecond))
		s.redis.Restart()
		s.fault()
		s.works(20)
	}
	stop()
	n := s.check("redis-kill", false)
	assert.Zero(t, n.dead)
	assert.Less(t, n.recovered, 5*time.Second)
}

func TestRedisFrozen(t *testing.T) {
	t.Parallel()
	s := newStage(t, setting{})
	stop := s.load(6, usual)
	s.works(20)
	s.redis.Freeze()
	frozen := time.Now()
	s.eventually("the gateway notices", func() bool { return s.status(http.MethodGet, 0, "/readyz") == http.StatusServiceUnavailable })
	assert.Less(t, time.Since(frozen), 5*time.Second)
	for end := frozen.Add(time.Duration(times(5, 10)) * time.Second); time.Now().Before(end); {
		c := s.call(0, s.rng.IntN(2) == 0, work{})
		assert.Equal(t, refused, c.fate, c.said)
		assert.Less(t, c.ended.Sub(c.began), 2*time.Second)
	}
	s.redis.Thaw()
	s.fault()
	s.works(20)
	stop()
	n := s.check("redis-freeze", false)
	assert.Zero(t, n.unknown, "what was sent before is answered after all")
	assert.Zero(t, n.dead)
	assert.Less(t, n.recovered, 5*time.Second)
}

func TestScriptsFlushed(t *testing.T) {
	t.Parallel()
	s := newStage(t, setting{idle: calmIdleLimit})
	stop := s.load(6, usual)
	for range times(50, 2000) {
		s.works(1)
		s.redis.Do("SCRIPT", "FLUSH")
	}
	s.works(20)
	stop()
	n := s.check("noscript", false)
	assert.Zero(t, n.unknown+n.refused+n.dead+n.duplicates)
}

// Redis loses all data. Gateways send the requests of waiting callers again; other requests
// are lost. This is the only case in which an accepted request is lost.
func TestEverythingFlushed(t *testing.T) {
	t.Parallel()
	s := newStage(t, setting{})
	stop := s.load(8, usual)
	for range times(3, 50) {
		s.works(20)
		s.redis.Do("FLUSHALL")
		s.fault()
		s.works(20)
	}
	stop()
	n := s.check("flush", true)
	assert.Zero(t, n.unknown, "callers who wait are answered after all")
	assert.Zero(t, n.dead)
	assert.Less(t, n.recovered, 5*time.Second)
	for _, w := range s.workers {
		assert.Positive(t, countOf(w, "the mailbox is missing, creating it"))
	}
}

func TestMemoryFull(t *testing.T) {
	t.Parallel()
	s := newStage(t, setting{idle: calmIdleLimit})
	s.works0(5)
	running := make(chan *call, 4)
	for range cap(running) {
		n := s.number()
		go func() { running <- s.callAs(n, 0, n%2 == 0, work{MS: 500}) }()
		s.running(n)
	}
	s.redis.Do("CONFIG", "SET", "maxmemory", "1")
	for range 10 {
		c := s.call(0, s.rng.IntN(2) == 0, work{})
		assert.Equal(t, refused, c.fate, c.said)
		assert.Less(t, c.ended.Sub(c.began), time.Second)
	}
	s.pass(2 * s.set.idle) // no worker may take over a request that cannot be settled
	s.redis.Do("CONFIG", "SET", "maxmemory", "0")
	s.fault()
	s.eventually("there is room again", func() bool { return s.call(0, true, work{}).fate == answered })
	for range cap(running) {
		c := <-running
		assert.Equal(t, answered, c.fate, c.said)
	}
	s.works0(5)
	n := s.check("oom", false)
	assert.Zero(t, n.duplicates)
}

// works0 makes n calls and requires answers.
func (s *stage) works0(times int) {
	s.t.Helper()
	for i := range times {
		c := s.call(0, i%2 == 0, work{})
		assert.Equal(s.t, answered, c.fate, c.said)
	}
}

// A policy that is changed while a gateway runs is noticed: unsafe requests are refused until
// it is mended.
func TestEvictionIsNoticed(t *testing.T) {
	t.Parallel()
	s := newStage(t, setting{})
	fate := func(safe bool, want string) {
		s.eventually("a call is "+want, func() bool { return s.call(0, safe, work{}).fate == want })
	}
	fate(false, answered)
	s.redis.Do("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
	fate(false, refused)
	fate(true, answered)
	assert.Contains(t, string(s.get(0, "/readyz")), `"warnings":["Redis may evict`)
	s.redis.Do("CONFIG", "SET", "maxmemory-policy", "noeviction")
	fate(false, answered)
	s.check("evict-guard", false)
}

func TestEvictingRedisIsRefused(t *testing.T) {
	t.Parallel()
	s := newStage(t, setting{})
	s.redis.Do("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
	s.listen = append(s.listen, testsupport.FreeAddr(t))
	for _, p := range []*process{s.worker(), s.gateway(1)} {
		p.ended()
		require.Error(t, p.Err())
		assert.True(t, p.Printed.Contains("maxmemory-policy"), p.Printed.String())
	}
}
