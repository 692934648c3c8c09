package testsupport

import (
	"strconv"
	"testing"
)

// highestPort leaves room for the second port of a cluster node, which is 10,000 higher.
const highestPort = 55535

// FreePort returns a free loopback port, and reserves it until the test ends. A server of the test may listen there, end,
// and listen again; no other process gets the port in between.
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

// FreeAddr returns the port of FreePort as 127.0.0.1:port.
func FreeAddr(t testing.TB) string {
	t.Helper()
	return "127.0.0.1:" + strconv.Itoa(FreePort(t))
}
