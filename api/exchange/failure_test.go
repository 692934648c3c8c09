package exchange

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestAnswersDoNotRepeatLongTexts(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "abc", Cut("abc", 3))
	assert.Equal(t, "ab...", Cut("abc", 2))
	assert.Equal(t, "a...", Cut("a😀", 4), "no part of a character")
	long := strings.Repeat("x", 1<<20)
	many := make([]Problem, 5000)
	for i := range many {
		many[i] = Problem{Field: long, Problem: long}
	}
	f := BadRequest(many...)
	assert.Less(t, len(f.Message), 700)
	assert.Less(t, len(f.Envelope(&Request{})), 100<<10)
	details := f.Details.([]Problem)
	assert.Len(t, details, 101)
	assert.Equal(t, "4900 more problems are left out", details[100].Problem)
}

func TestRetryAfterIsRoundedUp(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		time.Nanosecond: "1", time.Second: "1", time.Second + 1: "2", 90 * time.Second: "90", -time.Second: "1",
	} {
		assert.Equal(t, want, Seconds(d), d)
	}
}
