package backoff

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestBackoffDoubles(t *testing.T) {
	t.Parallel()
	b := New(10*time.Millisecond, 35*time.Millisecond)
	var waits []time.Duration
	for range 4 {
		waits = append(waits, b.Next())
	}
	assert.Equal(t, []time.Duration{10e6, 20e6, 35e6, 35e6}, waits)
	b.Reset()
	assert.Equal(t, 10*time.Millisecond, b.Next())
}
