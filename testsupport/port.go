package testsupport

import (
	"strconv"
	"testing"
)

// highestPort leaves room for the port that a cluster node opens besides, 10,000 above its own.
const highestPort = 55535

// FreePort returns a free loopback port that stays the test's own until it ends: a server of the test may listen there,
// end and begin again, and nobody else is given the port in between, whose clients it would then have.
func FreePort(t testing.TB) int {
	t.Helper()
	for {
		port, release, err := holdPort()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(release)
		if port <= highestPort {
			return port
		}
	}
}

// FreeAddr is FreePort as 127.0.0.1:port.
func FreeAddr(t testing.TB) string {
	t.Helper()
	return "127.0.0.1:" + strconv.Itoa(FreePort(t))
}
