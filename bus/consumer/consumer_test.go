package consumer

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/wire"
)

func TestNewNamesEveryFaultOfItsConfig(t *testing.T) {
	t.Parallel()
	conn, err := bus.Connect("redis://127.0.0.1:1", bus.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	_, err = New(conn, Config{
		Manifest: &wire.Manifest{Service: "users"}, Concurrency: -1, IdleLimit: time.Millisecond, Heartbeat: 2 * time.Second, MaxAttempts: -1,
	})
	for _, name := range []string{"concurrency", "idle limit", "heartbeat", "max attempts"} {
		require.ErrorContains(t, err, name)
	}
	_, err = New(conn, Config{Manifest: &wire.Manifest{Service: "v2"}})
	require.ErrorContains(t, err, "reserved")
}
