package testsupport

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Golden requires that a text equals a file. If MAILROOM_UPDATE_GOLDEN is set, it writes
// the file first.
func Golden(t testing.TB, file, got string) {
	t.Helper()
	if os.Getenv("MAILROOM_UPDATE_GOLDEN") != "" {
		require.NoError(t, os.WriteFile(file, []byte(got), 0o600))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, string(want), got)
}
