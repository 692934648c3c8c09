package caller

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestErrNotReplicatedIsATimeoutOnOneLine(t *testing.T) {
	t.Parallel()
	require.ErrorIs(t, ErrNotReplicated, ErrTimeout)
	require.NotErrorIs(t, ErrTimeout, ErrNotReplicated)
	assert.NotContains(t, ErrNotReplicated.Error(), "\n")
}
