package echo

import (
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/testsupport"
)

func TestCachedCountsItsRuns(t *testing.T) {
	t.Parallel()
	options, err := redis.ParseURL(testsupport.Miniredis(t))
	require.NoError(t, err)
	rdb := redis.NewClient(options)
	t.Cleanup(func() { _ = rdb.Close() })
	r := runs{rdb, "test:"}
	for n := range int64(3) {
		counted, err := r.cached(t.Context(), 7, Pause{})
		require.NoError(t, err)
		require.Equal(t, Counted{ID: 7, Runs: n + 1}, counted)
	}
	counted, err := r.cached(t.Context(), 8, Pause{MS: 1})
	require.NoError(t, err)
	require.Equal(t, Counted{ID: 8, Runs: 1}, counted)
	_, err = r.cached(t.Context(), 8, Pause{MS: -1})
	requireRefused(t, err, "BAD_REQUEST", 400)
	touched, err := r.touch(t.Context(), 7)
	require.NoError(t, err)
	require.Equal(t, Touched{ID: 7}, touched)
}
