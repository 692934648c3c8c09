package cache

import (
	"context"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/testsupport"
)

func TestMain(m *testing.M) { testsupport.Main(m) }

const patience = 20 * time.Second

// fixture is the Redis of one test, with an invalidator and a count of runs.
type fixture struct {
	t    *testing.T
	url  string
	rdb  *redis.Client
	inv  *Invalidator
	runs atomic.Int64
}

func newFixture(t *testing.T, url string) *fixture {
	t.Helper()
	s := &fixture{t: t, url: url}
	s.rdb = s.client(url)
	log, _ := testsupport.Logger(t)
	s.inv = NewInvalidator(s.rdb, Config{Logger: log}, nil)
	t.Cleanup(s.inv.Close)
	return s
}

func (s *fixture) client(url string) *redis.Client {
	s.t.Helper()
	o, err := redis.ParseURL(url)
	require.NoError(s.t, err)
	o.MaxRetries, o.ContextTimeoutEnabled, o.DialerRetries, o.Protocol, o.DisableIdentity = -1, true, 1, 2, true
	rdb := redis.NewClient(o)
	s.t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// cache starts the part of one process. Local entries are off unless the test enables
// them.
func (s *fixture) cache(change ...func(*Config)) *Cache {
	s.t.Helper()
	log, _ := testsupport.Logger(s.t)
	cfg := Config{Logger: log, LocalBytes: -1, Timeout: 5 * time.Second}
	for _, c := range change {
		c(&cfg)
	}
	c, err := New(s.rdb, cfg)
	require.NoError(s.t, err)
	s.t.Cleanup(c.Close)
	testsupport.Eventually(s.t, patience, "the cache receives invalidations", func() bool { return !c.Stats().Deaf })
	return c
}

func withLocal(c *Config) { c.LocalBytes, c.LocalTTL = 1<<20, time.Minute }

// query returns a query with a tag of its own.
func query(identity string) *Query {
	return &Query{Space: "things", Identity: identity, Tags: []string{"tag:" + identity}, Policy: Policy{TTL: time.Minute}}
}

// counted is a run that answers with the number of runs so far.
func (s *fixture) counted(context.Context) Outcome {
	return Outcome{Value: strconv.FormatInt(s.runs.Add(1), 10), Store: true}
}

// gets calls Do, and expects this value from this source.
func (s *fixture) gets(c *Cache, q *Query, value string, source Source) Answer {
	s.t.Helper()
	a, err := c.Do(s.t.Context(), q, s.counted)
	require.NoError(s.t, err)
	require.Equal(s.t, value, a.Value)
	require.Equal(s.t, source.String(), a.Source.String())
	return a
}

// filled waits until this number of entries has been written.
func (s *fixture) filled(c *Cache, entries uint64) {
	s.t.Helper()
	testsupport.Eventually(s.t, patience, "an entry is stored", func() bool { return c.Stats().Stored >= entries })
}

// stalled is a run that blocks until the test sends its outcome.
type stalled struct {
	begun chan struct{} // a value for each run
	end   chan Outcome
}

func newStalled() *stalled {
	return &stalled{begun: make(chan struct{}, 10), end: make(chan Outcome, 10)}
}

func (r *stalled) run(ctx context.Context) Outcome {
	r.begun <- struct{}{}
	select {
	case o := <-r.end:
		return o
	case <-ctx.Done():
		return Outcome{}
	}
}

// called is the result of a query in the background.
type called struct {
	answer Answer
	err    error
}

func (s *fixture) call(c *Cache, q *Query, run Run) <-chan called {
	answered := make(chan called, 1)
	ctx := s.t.Context()
	go func() {
		a, err := c.Do(ctx, q, run)
		answered <- called{a, err}
	}()
	return answered
}

// waiting waits until this number of callers waits for the flights of a cache.
func (s *fixture) waiting(c *Cache, n int) {
	s.t.Helper()
	testsupport.Eventually(s.t, patience, strconv.Itoa(n)+" wait", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		waiting := 0
		for _, f := range c.flights {
			waiting += f.waiting
		}
		return waiting == n
	})
}
