package testsupport

import (
	"testing"

	"go.uber.org/goleak"
)

// Main runs the tests of a package, and fails them if goroutines remain afterwards. Call it from TestMain:
//
//	func TestMain(m *testing.M) { testsupport.Main(m) }
//
// Pass ignore only for goroutines that a dependency starts once per process and cannot stop, each with a comment that says
// so. Main does not return: it exits with the status of the tests.
func Main(m *testing.M, ignore ...goleak.Option) {
	goleak.VerifyTestMain(m, ignore...)
}
