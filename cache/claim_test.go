package cache

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/testsupport"
)

// leases lists the leases that there are.
func (s *stage) leases() []string {
	s.t.Helper()
	keys, err := s.rdb.Keys(s.t.Context(), "*:lease:*").Result()
	require.NoError(s.t, err)
	return keys
}

func TestAClaimThatFindsACopyGivesTheLeaseBack(t *testing.T) {
	t.Parallel()
	s := newStage(t, testsupport.Miniredis(t))
	a, b := s.cache(), s.cache()
	q, sibling := question("7"), question("8")
	sibling.Tags = q.Tags
	s.gets(a, q, "1", Led)
	s.filled(a, 1)
	s.gets(b, sibling, "2", Led) // by which it knows the nonce
	s.filled(b, 1)
	require.NotEmpty(t, b.nonces)
	require.Empty(t, s.leases()[1:], "that of the wrong guess ends by itself")
	before := len(s.leases())
	s.gets(b, q, "1", Shared)
	testsupport.Eventually(t, patience, "the lease is given back", func() bool { return len(s.leases()) == before })
}

func TestAWrongGuessJoinsTheRun(t *testing.T) {
	t.Parallel()
	s := newStage(t, testsupport.StartRedis(t).URL())
	a, b := s.cache(), s.cache()
	q := question("7")
	slow := newStalled()
	first := s.ask(a, q, slow.run)
	<-slow.begun
	for range 2 { // it guesses that the tag is new; then it knows
		second := s.ask(b, q, s.counted)
		s.waiting(b, 1)
		slow.end <- Outcome{Value: "one"}
		assert.Equal(t, asked{answer: Answer{Value: "one", Source: Joined, Left: q.Policy.TTL}}, <-second)
		<-first
		first = s.ask(a, q, slow.run)
		<-slow.begun
	}
	slow.end <- Outcome{Value: "one"}
	<-first
	assert.Zero(t, s.runs.Load())
}

func TestWhoIsPatientWaitsForItsOwnRun(t *testing.T) {
	t.Parallel()
	s := newStage(t, testsupport.Miniredis(t))
	c := s.cache()
	q := question("7")
	q.Patient = true
	ctx, leave := context.WithCancel(t.Context())
	slow, done := newStalled(), make(chan Answer, 1)
	go func() {
		a, err := c.Do(ctx, q, slow.run)
		assert.NoError(t, err)
		done <- a
	}()
	<-slow.begun
	other := *q
	other.Patient = false
	second := s.ask(c, &other, s.counted)
	s.waiting(c, 1)
	leave()
	slow.end <- Outcome{Value: "one", Store: true}
	assert.Equal(t, "one", (<-done).Value)
	assert.Equal(t, "one", (<-second).answer.Value)
	s.filled(c, 1)

	// What is stale it gets at once; the new one is made meanwhile.
	q = question("8")
	q.Patient, q.Policy = true, Policy{TTL: 20 * time.Millisecond, StaleWhileRevalidate: time.Hour}
	s.gets(c, q, "1", Led)
	s.filled(c, 2)
	testsupport.Eventually(t, patience, "the copy is stale", func() bool {
		a, err := c.Do(t.Context(), q, s.counted)
		return err == nil && a.Source == Revalidating && a.Value == "1"
	})
	s.filled(c, 3)
}

// Who wants no copy takes nothing from those who do: they get theirs as soon as
// anybody's run has ended, however often somebody refreshes meanwhile.
func TestRefreshingKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	s := newStage(t, testsupport.StartRedis(t).URL())
	quick := func(c *Config) { c.Lease = 100 * time.Millisecond }
	a, b := s.cache(quick), s.cache(quick)
	q := question("7")
	fresh := *q
	fresh.Refresh = true
	leading, refreshing := newStalled(), newStalled()
	first := s.ask(a, q, leading.run)
	<-leading.begun
	second := s.ask(b, q, s.counted)
	s.waiting(b, 1)
	var refreshed []<-chan asked
	for range 3 {
		refreshed = append(refreshed, s.ask(a, &fresh, refreshing.run))
		<-refreshing.begun
	}
	leading.end <- Outcome{Value: "old", Store: true}
	assert.Equal(t, "old", (<-first).answer.Value)
	assert.Equal(t, asked{answer: Answer{Value: "old", Source: Joined, Left: q.Policy.TTL}}, <-second)
	s.filled(a, 1)
	s.gets(b, q, "old", Shared)

	for range refreshed { // the last of them to begin stores, whichever ends when
		refreshing.end <- Outcome{Value: "new", Store: true}
	}
	for _, one := range refreshed {
		assert.Equal(t, "new", (<-one).answer.Value)
	}
	s.filled(a, 2)
	s.gets(b, q, "new", Shared)
	assert.Zero(t, s.runs.Load())
}

// A refresh that has stored what it found hands it to those who wait for an older
// run, which stores nothing any more.
func TestARefreshEndsTheWaitForAnOlderRun(t *testing.T) {
	t.Parallel()
	s := newStage(t, testsupport.StartRedis(t).URL())
	a, b := s.cache(), s.cache()
	q := question("7")
	fresh := *q
	fresh.Refresh = true
	slow := newStalled()
	first := s.ask(a, q, slow.run)
	<-slow.begun
	second := s.ask(b, q, s.counted)
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
