package caller

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/testsupport"
)

// All gateways have one secret, also after Redis has lost it.
func TestGatewaysShareASecret(t *testing.T) {
	t.Parallel()
	url := testsupport.Miniredis(t)
	start := func() *Client {
		conn, err := bus.Connect(url, bus.Options{})
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		c := New(conn, Config{Ping: 50 * time.Millisecond})
		t.Cleanup(c.Close)
		testsupport.Eventually(t, 10*time.Second, "it knows the secret", func() bool { return c.Secret() != nil })
		return c
	}
	first := start()
	second := start()
	secret := first.Secret()
	assert.Len(t, secret, secretBytes)
	assert.Equal(t, secret, second.Secret())
	require.NoError(t, first.conn.Redis().FlushAll(t.Context()).Err())
	testsupport.Eventually(t, 10*time.Second, "Redis has it again", func() bool {
		return first.conn.Redis().Get(t.Context(), first.conn.Keys.Secret()).Val() == string(secret)
	})
	assert.Equal(t, secret, start().Secret())
	assert.Equal(t, secret, second.Secret())
}
