package testsupport

import (
	"testing"

	"github.com/alicebob/miniredis/v2"
)

// Miniredis starts an embedded Redis for one test on a free loopback port and returns its URL, redis://127.0.0.1:port.
// It stops when the test ends. If the server cannot listen, the test fails.
func Miniredis(t testing.TB) string {
	t.Helper()
	return MiniredisAt(t, "127.0.0.1:0")
}

// MiniredisAt is Miniredis at an address, host:port.
func MiniredisAt(t testing.TB, address string) string {
	t.Helper()
	server := miniredis.NewMiniRedis()
	// By default, miniredis expires no key.
	server.ClockTTL(true)
	if err := server.StartAddr(address); err != nil {
		t.Fatalf("start miniredis on %s: %v", address, err)
	}
	t.Cleanup(server.Close)
	return "redis://" + server.Addr()
}
