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

// stage is one test's Redis, and what is asked of it.
type stage struct {
	t    *testing.T
	url  string
	rdb  *redis.Client
	inv  *Invalidator
	runs atomic.Int64
}

func newStage(t *testing.T, url string) *stage {
	t.Helper()
	s := &stage{t: t, url: url}
	s.rdb = s.client(url)
	log, _ := testsupport.Logger(t)
	s.inv = NewInvalidator(s.rdb, Config{Logger: log}, nil)
	t.Cleanup(s.inv.Close)
	return s
}

func (s *stage) client(url string) *redis.Client {
	s.t.Helper()
	o, err := redis.ParseURL(url)
	require.NoError(s.t, err)
	o.MaxRetries, o.ContextTimeoutEnabled, o.DialerRetries, o.Protocol, o.DisableIdentity = -1, true, 1, 2, true
	rdb := redis.NewClient(o)
	s.t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// cache is one process's part; near copies are off unless the test wants them.
func (s *stage) cache(change ...func(*Config)) *Cache {
	s.t.Helper()
	log, _ := testsupport.Logger(s.t)
	cfg := Config{Logger: log, NearBytes: -1, Timeout: 5 * time.Second}
	for _, c := range change {
		c(&cfg)
	}
	c, err := New(s.rdb, cfg)
	require.NoError(s.t, err)
	s.t.Cleanup(c.Close)
	testsupport.Eventually(s.t, patience, "the cache hears", func() bool { return !c.Stats().Deaf })
	return c
}

func withNear(c *Config) { c.NearBytes, c.NearTTL = 1<<20, time.Minute }

// question is one with a tag of its own.
func question(identity string) *Query {
	return &Query{Space: "things", Identity: identity, Tags: []string{"tag:" + identity}, Policy: Policy{TTL: time.Minute}}
}

// counted runs and answers with how often it was run.
func (s *stage) counted(context.Context) Outcome {
	return Outcome{Value: strconv.FormatInt(s.runs.Add(1), 10), Store: true}
}

// gets asks, and wants this answer from there.
func (s *stage) gets(c *Cache, q *Query, value string, source Source) Answer {
	s.t.Helper()
	a, err := c.Do(s.t.Context(), q, s.counted)
	require.NoError(s.t, err)
	require.Equal(s.t, value, a.Value)
	require.Equal(s.t, source.String(), a.Source.String())
	return a
}

// filled waits until a copy has been written.
func (s *stage) filled(c *Cache, copies uint64) {
	s.t.Helper()
	testsupport.Eventually(s.t, patience, "a copy is stored", func() bool { return c.Stats().Stored >= copies })
}

// stalled is a run that waits to be let go.
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

// asked is a question in the background.
type asked struct {
	answer Answer
	err    error
}

func (s *stage) ask(c *Cache, q *Query, run Run) <-chan asked {
	answered := make(chan asked, 1)
	ctx := s.t.Context()
	go func() {
		a, err := c.Do(ctx, q, run)
		answered <- asked{a, err}
	}()
	return answered
}

// waiting waits until so many wait for one flight of a cache.
func (s *stage) waiting(c *Cache, n int) {
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
