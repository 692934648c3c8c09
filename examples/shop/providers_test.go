package shop

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestProvidersKnowAChargeByItsKey(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]provider{"A": providerA{}, "B": providerB{}, "C": providerC{}} {
		first, err := p.charge(t.Context(), "r1", 100)
		require.NoError(t, err)
		again, err := p.charge(t.Context(), "r1", 100)
		require.NoError(t, err)
		other, err := p.charge(t.Context(), "r2", 100)
		require.NoError(t, err)
		require.Regexp(t, "^"+name+"-.+", first)
		require.Equal(t, first, again)
		require.NotEqual(t, first, other)
	}
}
