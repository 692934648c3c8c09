package echo

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/testsupport"
	"github.com/oskadev/mailroom/workers"
)

func TestAppendOnceForEachRequest(t *testing.T) {
	t.Parallel()
	options, err := redis.ParseURL(testsupport.Miniredis(t))
	require.NoError(t, err)
	rdb := redis.NewClient(options)
	t.Cleanup(func() { _ = rdb.Close() })
	l := logs{rdb, "test:"}
	request := func(id string) context.Context {
		return workers.NewContext(t.Context(), workers.Info{RequestID: id})
	}
	values, err := l.log(t.Context(), 7)
	require.NoError(t, err)
	require.Empty(t, values)
	require.NotNil(t, values, "an empty list, not null")
	for _, c := range []struct {
		request, value string
		length         int
	}{{"r1", `"a"`, 1}, {"r2", `{"b":[2]}`, 2}, {"r1", `"a"`, 1}, {"r3", `3`, 3}, {"r2", `{"b":[2]}`, 2}} {
		got, err := l.append(request(c.request), 7, Entry{Value: json.RawMessage(c.value), MS: 1})
		require.NoError(t, err)
		require.Equal(t, c.length, got.Length)
	}
	values, err = l.log(t.Context(), 7)
	require.NoError(t, err)
	require.Equal(t, []json.RawMessage{[]byte(`"a"`), []byte(`{"b":[2]}`), []byte(`3`)}, values)
	_, err = l.append(request("r4"), 7, Entry{Value: json.RawMessage(`1`), MS: -1})
	requireRefused(t, err, "BAD_REQUEST", 400)

	ended, cancel := context.WithCancel(request("r5"))
	cancel()
	_, err = l.append(ended, 7, Entry{Value: json.RawMessage(`5`)})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, workers.NoOutcome(context.Canceled), err)
}
