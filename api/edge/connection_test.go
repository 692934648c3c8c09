package edge

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A deadline never passes later than wanted, nor much earlier, and is not set without need.
func TestDeadlinesAreSetWhenNeeded(t *testing.T) {
	t.Parallel()
	var d deadline
	var set []time.Time
	need := func() int {
		require.NoError(t, d.need(func(at time.Time) error {
			set = append(set, at)
			return nil
		}))
		return len(set)
	}
	now := time.Now()
	assert.Zero(t, need(), "none is wanted")
	d.want(now.Add(2 * time.Minute))
	assert.Equal(t, 1, need())
	d.want(now.Add(10 * time.Second)) // and nothing is read meanwhile
	d.want(now.Add(2*time.Minute + 900*time.Millisecond))
	assert.Equal(t, 1, need(), "less than a second later is much the same")
	d.want(now.Add(2*time.Minute + 1100*time.Millisecond))
	assert.Equal(t, 2, need())
	d.want(now.Add(2 * time.Minute))
	assert.Equal(t, 3, need(), "earlier is not")
	d.want(now.Add(10 * time.Second))
	assert.Equal(t, 4, need())
	d.want(now.Add(500 * time.Millisecond))
	assert.Equal(t, 5, need())
	d.want(now.Add(700 * time.Millisecond))
	assert.Equal(t, 6, need(), "of a short time that is a lot")
	d.want(time.Time{})
	assert.Equal(t, 7, need())
	assert.Equal(t, 7, need())
	assert.True(t, set[6].IsZero())
	assert.True(t, set[3].Equal(now.Add(10*time.Second)))
}
