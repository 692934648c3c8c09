package call

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// enterNow enters and does not wait.
func enterNow(l *Limit, principal string) bool {
	turn, ok := l.of("users").enter(l, principal)
	return ok && turn == nil
}

// timed returns a limit, and a function that lets its clock pass a time.
func timed(max int64) (l *Limit, pass func(time.Duration)) {
	now := time.Now()
	l = NewLimit(max)
	l.now = func() time.Time { return now }
	return l, func(d time.Duration) { now = now.Add(d) }
}

func TestLoneCallerMayUseAll(t *testing.T) {
	t.Parallel()
	l := NewLimit(8)
	for range 8 {
		require.True(t, enterNow(l, "ada"))
	}
	assert.False(t, enterNow(l, "ada"), "the limit")
	assert.True(t, enterNow(l, "bob"), "a quarter more is for the others")
	assert.True(t, enterNow(l, "bob"))
	assert.False(t, enterNow(l, "bob"))
	assert.False(t, enterNow(l, "eve"), "and no more than that")
	for range 8 {
		l.Leave("users", "ada")
	}
	assert.True(t, enterNow(l, "eve"))
	assert.True(t, enterNow(l, "ada"))
	assert.True(t, enterNow(l, "ada"))
	assert.False(t, enterNow(l, "ada"), "it has its quarter while others call")
	l.Each(func(name string, n int64) {
		assert.Equal(t, "users", name)
		assert.EqualValues(t, 5, n)
	})
}

func TestShareReturnsWhenTheOthersAreGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, pass := timed(8)
		require.True(t, enterNow(l, "bob"))
		require.True(t, enterNow(l, "ada"))
		require.True(t, enterNow(l, "ada"))
		require.False(t, enterNow(l, "ada"))
		l.Leave("users", "bob")
		assert.False(t, enterNow(l, "ada"), "bob called a moment ago")
		pass(2 * alone)
		assert.True(t, enterNow(l, "ada"))
		assert.True(t, l.Crowded("users", "ada", time.Minute))
		assert.False(t, l.Crowded("users", "ada", alone))
		assert.True(t, l.Crowded("users", "bob", alone), "ada called")
	})
}

// A delay of others makes the calls of a principal wait at the gateway, those of others
// go on.
func TestDelayReducesTheShare(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, pass := timed(400)
		require.True(t, enterNow(l, "bob"))
		for range 64 {
			require.True(t, enterNow(l, "ada"))
		}
		entered := make(chan bool, 10)
		for range 8 { // 64 → 44.8 → 31.3 → 21.9 → 15.3 → 10.7 → 8
			pass(time.Second / 2)
			require.True(t, enterNow(l, "bob"))
			l.Ran("users", "bob", 10*time.Millisecond, 25*time.Millisecond)
			l.Leave("users", "bob")
			l.Ran("users", "ada", 10*time.Millisecond, 50*time.Millisecond) // its own fault
		}
		assert.InDelta(t, 8, l.of("users").share, 0.01)
		go func() { entered <- l.Enter(t.Context(), "users", "ada", time.Minute) }()
		synctest.Wait()
		assert.Empty(t, entered, "it waits")
		for range 57 {
			l.Leave("users", "ada")
		}
		synctest.Wait()
		assert.True(t, <-entered, "seven run, and it is the eighth")

		go func() { entered <- l.Enter(t.Context(), "users", "ada", 50*time.Millisecond) }()
		assert.False(t, <-entered, "its time is over")
		ctx, cancel := context.WithCancel(t.Context())
		go func() { entered <- l.Enter(ctx, "users", "ada", time.Minute) }()
		synctest.Wait()
		cancel()
		assert.False(t, <-entered, "its caller is gone")

		go func() { entered <- l.Enter(t.Context(), "users", "ada", time.Minute) }()
		synctest.Wait()
		for range 9 {
			l.Ran("users", "bob", 10*time.Millisecond, 11*time.Millisecond)
		}
		l.Leave("users", "ada")
		synctest.Wait()
		assert.True(t, <-entered)
		assert.True(t, enterNow(l, "ada"), "without a delay the share grows")
		assert.True(t, enterNow(l, "bob"), "others do not wait")
	})
}
