package testsupport

import (
	"testing"

	"github.com/alicebob/miniredis/v2"
)

// Miniredis starts an embedded Redis for one test on a free loopback port and returns its URL, redis://127.0.0.1:port.
// It stops when the test ends. If the server cannot listen, the test fails.
func Miniredis(t testing.TB) string {
	t.Helper()
	server := miniredis.NewMiniRedis()
	// By default, miniredis expires no key.
	server.ClockTTL(true)
	if err := server.StartAddr("127.0.0.1:0"); err != nil {
		t.Fatalf("start miniredis on 127.0.0.1: %v", err)
	}
	t.Cleanup(server.Close)
	return "redis://" + server.Addr()
}
