package exchange

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestRetryAfterIsRoundedUp(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		time.Nanosecond: "1", time.Second: "1", time.Second + 1: "2", 90 * time.Second: "90", -time.Second: "1",
	} {
		assert.Equal(t, want, Seconds(d), d)
	}
}
