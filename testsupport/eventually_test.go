package testsupport

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestEventuallyReturnsOnceTheConditionHolds(t *testing.T) {
	t.Parallel()
	asked := 0
	Eventually(t, time.Minute, "third time lucky", func() bool {
		asked++
		return asked == 3
	})
	assert.Equal(t, 3, asked)
}

func TestEventuallyAsksAtOnceEvenWithNoTimeLeft(t *testing.T) {
	t.Parallel()
	Eventually(t, 0, "true from the start", func() bool { return true })
}

func TestEventuallyFailsWithWhatDidNotHappen(t *testing.T) {
	t.Parallel()
	got := record(t, func(tb testing.TB) {
		tb.Helper()
		Eventually(tb, 20*time.Millisecond, "pigs fly", func() bool { return false })
	})
	assert.True(t, got.failed)
	assert.Equal(t, "did not happen within 20ms: pigs fly", got.message)
}
