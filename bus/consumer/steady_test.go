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
		keep := func(times int) {
			for range times {
				time.Sleep(limit / 3)
				s.answered()
			}
		}
		assert.False(t, s.steady(), "it has just started")
		keep(2)
		assert.False(t, s.steady(), "it started less than an idle limit ago")
		keep(1)
		assert.True(t, s.steady())
		time.Sleep(limit / 2)
		assert.True(t, s.steady(), "a keep-alive may be late")
		time.Sleep(limit)
		assert.False(t, s.steady(), "Redis does not answer")
		s.answered()
		assert.False(t, s.steady(), "other workers have to keep their requests first")
		keep(2)
		assert.False(t, s.steady())
		keep(1)
		assert.True(t, s.steady())
	})
}
