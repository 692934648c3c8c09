package bustest_test

import (
	"testing"

	"github.com/oskadev/mailroom/bus/bustest"
	"github.com/oskadev/mailroom/testsupport"
)

func TestMain(m *testing.M) { testsupport.Main(m) }

func TestConformance(t *testing.T) {
	t.Parallel()
	t.Run("miniredis", func(t *testing.T) {
		t.Parallel()
		bustest.Run(t, func(t *testing.T) string {
			t.Helper()
			return testsupport.Miniredis(t)
		})
	})
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		bustest.Run(t, func(t *testing.T) string {
			t.Helper()
			return testsupport.StartRedis(t).URL()
		})
	})
}
