package cache

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/testsupport"
)

// leases lists the keys of all leases.
func (s *fixture) leases() []string {
	s.t.Helper()
	keys, err := s.rdb.Keys(s.t.Context(), "*:lease:*").Result()
	require.NoError(s.t, err)
	return keys
}

func TestAClaimThatFindsAnEntryGivesTheLeaseBack(t *testing.T) {
	t.Parallel()
	s := newFixture(t, testsupport.Miniredis(t))
	a, b := s.cache(), s.cache()
	q, sibling := query("7"), query("8")
	sibling.Tags = q.Tags
	s.gets(a, q, "1", Led)
	s.filled(a, 1)
	s.gets(b, sibling, "2", Led) // from which b knows the nonce
	s.filled(b, 1)
	require.NotEmpty(t, b.hints.nonces)
	require.Empty(t, s.leases()[1:], "the lease of the wrong guess is left to expire")
	before := len(s.leases())
	s.gets(b, q, "1", Shared)
	testsupport.Eventually(t, patience, "the lease is given back", func() bool { return len(s.leases()) == before })
}

func TestAWrongGuessJoinsTheRun(t *testing.T) {
	t.Parallel()
	s := newFixture(t, testsupport.StartRedis(t).URL())
	a, b := s.cache(), s.cache()
	q := query("7")
	slow := newStalled()
	first := s.call(a, q, slow.run)
	<-slow.begun
	for range 2 { // b guesses that the tag is new; then it knows the nonce
		second := s.call(b, q, s.counted)
		s.waiting(b, 1)
		slow.end <- Outcome{Value: "one"}
		assert.Equal(t, called{answer: Answer{Value: "one", Source: Joined, Left: q.Policy.TTL}}, <-second)
		<-first
		first = s.call(a, q, slow.run)
		<-slow.begun
	}
	slow.end <- Outcome{Value: "one"}
	<-first
	assert.Zero(t, s.runs.Load())
}

// A caller whose context ends does not abandon the run that others wait for.
func TestAnInlineCallerWaitsForItsOwnRun(t *testing.T) {
	t.Parallel()
	s := newFixture(t, testsupport.Miniredis(t))
	c := s.cache()
	q := query("7")
	q.Inline = true
	ctx, leave := context.WithCancel(t.Context())
	slow, done := newStalled(), make(chan Answer, 1)
	go func() {
		a, err := c.Do(ctx, q, slow.run)
		assert.NoError(t, err)
		done <- a
	}()
	<-slow.begun
	other := *q
	other.Inline = false
	second := s.call(c, &other, s.counted)
	s.waiting(c, 1)
	leave()
	slow.end <- Outcome{Value: "one", Store: true}
	assert.Equal(t, "one", (<-done).Value)
	assert.Equal(t, "one", (<-second).answer.Value)
	s.filled(c, 1)

	// It gets a stale entry at once, and the run for a new one does not delay it.
	q = query("8")
	q.Inline, q.Policy = true, Policy{TTL: 20 * time.Millisecond, StaleWhileRevalidate: time.Hour}
	s.gets(c, q, "1", Led)
	s.filled(c, 2)
	testsupport.Eventually(t, patience, "the entry is stale", func() bool {
		a, err := c.Do(t.Context(), q, s.counted)
		return err == nil && a.Source == Revalidating && a.Value == "1"
	})
	s.filled(c, 3)
}

// Refreshes do not delay the callers that accept an entry: these get their answer
// when the first run ends, however many refreshes started meanwhile.
func TestRefreshesDoNotDelayOtherCallers(t *testing.T) {
	t.Parallel()
	s := newFixture(t, testsupport.StartRedis(t).URL())
	quick := func(c *Config) { c.Lease = 100 * time.Millisecond }
	a, b := s.cache(quick), s.cache(quick)
	q := query("7")
	fresh := *q
	fresh.Refresh = true
	leading, refreshing := newStalled(), newStalled()
	first := s.call(a, q, leading.run)
	<-leading.begun
	second := s.call(b, q, s.counted)
	s.waiting(b, 1)
	var refreshed []<-chan called
	for range 3 {
		refreshed = append(refreshed, s.call(a, &fresh, refreshing.run))
		<-refreshing.begun
	}
	leading.end <- Outcome{Value: "old", Store: true}
	assert.Equal(t, "old", (<-first).answer.Value)
	assert.Equal(t, called{answer: Answer{Value: "old", Source: Joined, Left: q.Policy.TTL}}, <-second)
	s.filled(a, 1)
	s.gets(b, q, "old", Shared)

	for range refreshed { // only the one that started last stores its outcome
		refreshing.end <- Outcome{Value: "new", Store: true}
	}
	for _, one := range refreshed {
		assert.Equal(t, "new", (<-one).answer.Value)
	}
	s.filled(a, 2)
	s.gets(b, q, "new", Shared)
	assert.Zero(t, s.runs.Load())
}

// A refresh that stored its outcome hands it to the callers that wait for an older
// run, which then stores nothing.
func TestARefreshEndsTheWaitForAnOlderRun(t *testing.T) {
	t.Parallel()
	s := newFixture(t, testsupport.StartRedis(t).URL())
	a, b := s.cache(), s.cache()
	q := query("7")
	fresh := *q
	fresh.Refresh = true
	slow := newStalled()
	first := s.call(a, q, slow.run)
	<-slow.begun
	second := s.call(b, q, s.counted)
	s.waiting(b, 1)
	answer, err := a.Do(t.Context(), &fresh, func(context.Context) Outcome { return Outcome{Value: "new", Store: true} })
	require.NoError(t, err)
	assert.Equal(t, "new", answer.Value)
	assert.Equal(t, "new", (<-second).answer.Value)
	slow.end <- Outcome{Value: "old", Store: true}
	assert.Equal(t, "old", (<-first).answer.Value)
	s.filled(a, 1)
	s.gets(b, q, "new", Shared)
}

// A tag can lose its nonce before an entry expires, in a Redis that evicts. A process
// that guesses that the tag is new then replaces the entry.
func TestAnEntryWhoseNonceWasLostIsReplaced(t *testing.T) {
	t.Parallel()
	s := newFixture(t, testsupport.StartRedis(t).URL())
	a, b := s.cache(), s.cache()
	q := query("7")
	s.gets(a, q, "1", Led)
	s.filled(a, 1)
	require.NoError(t, s.rdb.Del(t.Context(), b.keys.tag(q.Space, q.Tags[0])).Err())
	s.gets(b, q, "2", Led)
	s.filled(b, 1)
	s.gets(a, q, "2", Shared)
}
