package cache

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/testsupport"
)

func TestEntriesAreShared(t *testing.T) {
	t.Parallel()
	s := newFixture(t, testsupport.Miniredis(t))
	a, b, local := s.cache(), s.cache(), s.cache(withLocal)
	q := query("7")
	s.gets(a, q, "1", Led)
	s.filled(a, 1)
	hit := s.gets(b, q, "1", Shared)
	assert.Greater(t, hit.Left, 50*time.Second)
	assert.Less(t, hit.Age, 10*time.Second)
	s.gets(local, q, "1", Shared)
	hit = s.gets(local, q, "1", Local)
	assert.Greater(t, hit.Left, 50*time.Second)
	s.gets(a, query("8"), "2", Led)
	other := query("7")
	other.Space = "others"
	s.gets(a, other, "3", Led)
	assert.Positive(t, local.Stats().LocalBytes)
	assert.EqualValues(t, 1, local.Stats().Answers[Local])
}

func TestALeaderKeepsALocalEntry(t *testing.T) {
	t.Parallel()
	s := newFixture(t, testsupport.Miniredis(t))
	c := s.cache(withLocal)
	q := query("7")
	s.gets(c, q, "1", Led)
	testsupport.Eventually(t, patience, "the local entry exists", func() bool {
		_, ok := c.Local(q.Space, q.Identity)
		return ok
	})
	c.Drop("others", q.Tags...)
	s.gets(c, q, "1", Local)
	c.Drop(q.Space, q.Tags...)
	s.gets(c, q, "1", Shared)
}

func TestIdenticalQueriesShareARun(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]string{"miniredis": testsupport.Miniredis(t), "redis": testsupport.StartRedis(t).URL()} {
		for _, length := range []int{10, maxPublished + 1} {
			t.Run(name+" "+strconv.Itoa(length), func(t *testing.T) {
				t.Parallel()
				s := newFixture(t, url)
				a, b := s.cache(), s.cache()
				q := query(strconv.Itoa(length))
				run := newStalled()
				first := s.call(a, q, run.run)
				<-run.begun
				var all []<-chan called
				for range 20 {
					all = append(all, s.call(a, q, run.run), s.call(b, q, run.run))
				}
				s.waiting(a, 21)
				s.waiting(b, 20)
				value := strings.Repeat("x", length)
				run.end <- Outcome{Value: value, Store: true}
				got := <-first
				require.NoError(t, got.err)
				assert.Equal(t, Led, got.answer.Source)
				for _, answered := range all {
					got := <-answered
					require.NoError(t, got.err)
					assert.Equal(t, Joined, got.answer.Source)
					assert.Equal(t, value, got.answer.Value)
				}
				assert.Empty(t, run.begun, "no other run started")
			})
		}
	}
}

func TestFailuresAreSharedAndNotStored(t *testing.T) {
	t.Parallel()
	s := newFixture(t, testsupport.Miniredis(t))
	a, b := s.cache(), s.cache()
	q := query("7")
	run := newStalled()
	first := s.call(a, q, run.run)
	<-run.begun
	second := s.call(b, q, run.run)
	s.waiting(b, 1)
	run.end <- Outcome{Value: "failed", Broken: true}
	assert.Equal(t, "failed", (<-first).answer.Value)
	assert.Equal(t, "failed", (<-second).answer.Value)
	s.released()
	s.gets(a, q, "1", Led)
}

func TestCollapseOnly(t *testing.T) {
	t.Parallel()
	s := newFixture(t, testsupport.Miniredis(t))
	a, b := s.cache(withLocal), s.cache(withLocal)
	q := &Query{Space: "things", Identity: "7"}
	run := newStalled()
	first := s.call(a, q, run.run)
	<-run.begun
	second := s.call(b, q, run.run)
	s.waiting(b, 1)
	run.end <- Outcome{Value: "x", Store: true}
	assert.Equal(t, Led, (<-first).answer.Source)
	assert.Equal(t, Joined, (<-second).answer.Source)
	s.released()
	s.gets(a, q, "1", Led)
	s.released()
	s.gets(b, q, "2", Led)
}

func TestACallerThatLeavesCancelsNoRun(t *testing.T) {
	t.Parallel()
	s := newFixture(t, testsupport.Miniredis(t))
	c := s.cache()
	q := query("7")
	run := newStalled()
	ctx, leave := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() {
		_, err := c.Do(ctx, q, run.run)
		gone <- err
	}()
	<-run.begun
	stays := s.call(c, q, run.run)
	s.waiting(c, 2)
	leave()
	require.ErrorIs(t, <-gone, context.Canceled)
	run.end <- Outcome{Value: "x", Store: true}
	assert.Equal(t, "x", (<-stays).answer.Value)
}

func TestADeadLeaderIsReplaced(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]string{"miniredis": testsupport.Miniredis(t), "redis": testsupport.StartRedis(t).URL()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newFixture(t, url)
			dead := s.cache(func(c *Config) { c.Lease = time.Second })
			alive := s.cache(func(c *Config) { c.Lease = time.Second })
			q := query("7")
			run := newStalled()
			lost := s.call(dead, q, run.run)
			<-run.begun
			answered := s.call(alive, q, s.counted)
			s.waiting(alive, 1)
			// A leader that lives keeps its lease, and no other process takes it.
			extended := 0
			testsupport.Eventually(t, patience, "the lease is kept", func() bool {
				left := s.rdb.PTTL(t.Context(), s.leaseKey()).Val()
				if left > 0 {
					extended++
				}
				return extended > 200
			})
			assert.Zero(t, s.runs.Load())
			dead.leases.close() // like a killed process: no sign of life, no outcome
			got := <-answered
			require.NoError(t, got.err)
			assert.Equal(t, "1", got.answer.Value)
			s.filled(alive, 1)
			run.end <- Outcome{Value: "late", Store: true}
			<-lost
			s.gets(alive, q, "1", Shared)
		})
	}
}

// released waits until there is no lease.
func (s *fixture) released() {
	s.t.Helper()
	testsupport.Eventually(s.t, patience, "the lease is given back", func() bool { return s.leaseKey() == "none" })
}

func (s *fixture) leaseKey() string {
	found, err := s.rdb.Keys(s.t.Context(), "*:lease:*").Result()
	if err != nil || len(found) == 0 {
		return "none"
	}
	return found[0]
}

func TestEveryCallerGetsThePanicAsAnError(t *testing.T) {
	t.Parallel()
	s := newFixture(t, testsupport.Miniredis(t))
	c := s.cache()
	_, err := c.Do(t.Context(), query("7"), func(context.Context) Outcome {
		panic("oh") //nolint:forbidigo // the subject of the test
	})
	require.ErrorIs(t, err, errPanicked)
}

func TestWaitingIsBounded(t *testing.T) {
	t.Parallel()
	s := newFixture(t, testsupport.Miniredis(t))
	c := s.cache(func(c *Config) { c.MaxWaiting = 2 })
	q := query("7")
	run := newStalled()
	first := s.call(c, q, run.run)
	<-run.begun
	second := s.call(c, q, run.run)
	s.waiting(c, 2)
	_, err := c.Do(t.Context(), q, run.run)
	require.ErrorIs(t, err, ErrCrowded)
	run.end <- Outcome{Value: "x"}
	<-first
	<-second
}

func TestRefreshAndOnlyStored(t *testing.T) {
	t.Parallel()
	s := newFixture(t, testsupport.Miniredis(t))
	c := s.cache()
	q := query("7")
	only := *q
	only.OnlyStored = true
	_, err := c.Do(t.Context(), &only, s.counted)
	require.ErrorIs(t, err, ErrNotStored)
	s.gets(c, q, "1", Led)
	s.filled(c, 1)
	s.gets(c, &only, "1", Shared)
	fresh := *q
	fresh.Refresh = true
	s.gets(c, &fresh, "2", Led)
	s.filled(c, 2)
	s.gets(c, q, "2", Shared)
}

func TestAnOlderLookupDoesNotReplaceANewerEntry(t *testing.T) {
	t.Parallel()
	s := newFixture(t, testsupport.Miniredis(t))
	c := s.cache()
	q := query("7")
	slow := newStalled()
	first := s.call(c, q, slow.run)
	<-slow.begun
	fresh := *q
	fresh.Refresh = true
	s.gets(c, &fresh, "1", Led)
	s.filled(c, 1)
	slow.end <- Outcome{Value: "older", Store: true}
	<-first
	s.gets(c, q, "1", Shared)
}

func TestStaleWhileRevalidate(t *testing.T) {
	t.Parallel()
	s := newFixture(t, testsupport.Miniredis(t))
	c := s.cache()
	q := query("7")
	q.Policy = Policy{TTL: 20 * time.Millisecond, StaleWhileRevalidate: time.Minute}
	s.gets(c, q, "1", Led)
	s.filled(c, 1)
	run := newStalled()
	var got Answer
	testsupport.Eventually(t, patience, "the entry is stale", func() bool {
		var err error
		got, err = c.Do(t.Context(), q, run.run)
		require.NoError(t, err)
		return got.Source == Revalidating
	})
	assert.Equal(t, "1", got.Value)
	assert.Negative(t, got.Left)
	assert.Positive(t, got.Age)
	<-run.begun // in the background
	s.gets(c, q, "1", Revalidating)
	run.end <- Outcome{Value: "2", Store: true}
	s.filled(c, 2)
	require.NoError(t, s.inv.Invalidate(t.Context(), q.Space, q.Tags...))
	s.runs.Store(2)
	s.gets(c, q, "3", Led) // an invalidated entry is not used as a stale one
}

func TestStaleIfError(t *testing.T) {
	t.Parallel()
	s := newFixture(t, testsupport.Miniredis(t))
	c := s.cache()
	q := query("7")
	q.Policy = Policy{TTL: 20 * time.Millisecond, StaleIfError: time.Minute}
	s.gets(c, q, "1", Led)
	s.filled(c, 1)
	broken := func(context.Context) Outcome { return Outcome{Value: "broken", Broken: true} }
	testsupport.Eventually(t, patience, "the entry is stale", func() bool {
		got, err := c.Do(t.Context(), q, broken)
		require.NoError(t, err)
		require.Equal(t, "1", got.Value)
		return got.Source == Stale
	})
	s.released() // a caller before that shares the broken run
	failed := func(context.Context) Outcome { return Outcome{Value: "no such thing"} }
	got, err := c.Do(t.Context(), q, failed)
	require.NoError(t, err)
	assert.Equal(t, "no such thing", got.Value)
	assert.True(t, got.Expired)
	require.NoError(t, s.inv.Invalidate(t.Context(), q.Space, q.Tags...))
	got, err = c.Do(t.Context(), q, broken)
	require.NoError(t, err)
	assert.Equal(t, "broken", got.Value)
}

func TestLongValuesAreNotStored(t *testing.T) {
	t.Parallel()
	s := newFixture(t, testsupport.Miniredis(t))
	c := s.cache(func(c *Config) { c.MaxValue = 3 })
	q := query("7")
	for range 2 {
		_, err := c.Do(t.Context(), q, func(context.Context) Outcome { return Outcome{Value: "long", Store: true} })
		require.NoError(t, err)
	}
	other := query("8")
	s.gets(c, other, "1", Led)
	s.filled(c, 1)
	assert.EqualValues(t, 1, c.Stats().Stored, "the short one")
}

func TestAClientThatCannotSubscribeIsRefused(t *testing.T) {
	t.Parallel()
	s := newFixture(t, testsupport.Miniredis(t))
	_, err := New(s.rdb.Pipeline(), Config{})
	require.ErrorContains(t, err, "*redis.Pipeline cannot subscribe")
}
