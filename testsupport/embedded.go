package testsupport

import (
	"testing"

	"github.com/alicebob/miniredis/v2"
)

// Miniredis starts an embedded Redis for one test on a free loopback port and returns its URL, redis://127.0.0.1:port.
// It stops when the test ends. A server that cannot listen fails the test.
func Miniredis(t testing.TB) string {
	t.Helper()
	server := miniredis.NewMiniRedis()
	// Without this a key with a TTL lives for ever, and a test of an expiry would wait in vain.
	server.ClockTTL(true)
	if err := server.StartAddr("127.0.0.1:0"); err != nil {
		t.Fatalf("start miniredis on 127.0.0.1: %v", err)
	}
	t.Cleanup(server.Close)
	return "redis://" + server.Addr()
}
