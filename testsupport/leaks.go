package testsupport

import (
	"testing"

	"go.uber.org/goleak"
)

// Main runs a package's tests and fails them when goroutines outlive them. A package calls it from its TestMain:
//
//	func TestMain(m *testing.M) { testsupport.Main(m) }
//
// Pass ignore only for goroutines that a dependency starts once for the whole process and cannot stop, each with a
// comment that says so. Main does not return: it exits the process with the tests' status.
func Main(m *testing.M, ignore ...goleak.Option) {
	goleak.VerifyTestMain(m, ignore...)
}
