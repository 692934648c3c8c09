package consumer

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestSteadiness(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const limit = 3 * time.Second
		s := newSteadiness(limit)
		pass := func(d time.Duration) { <-time.After(d) }
		keep := func(times int) {
			for range times {
				pass(limit / 3)
				s.answered()
			}
		}
		assert.False(t, s.steady(), "it has just started")
		keep(2)
		assert.False(t, s.steady(), "it started less than an idle limit ago")
		keep(1)
		assert.True(t, s.steady())
		pass(limit / 2)
		assert.True(t, s.steady(), "a keep-alive may be late")
		pass(limit)
		assert.False(t, s.steady(), "Redis does not answer")
		s.answered()
		assert.False(t, s.steady(), "other workers have to keep their requests first")
		keep(2)
		assert.False(t, s.steady())
		keep(1)
		assert.True(t, s.steady())
	})
}
