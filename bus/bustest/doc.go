// Package bustest is the conformance suite of the bus. It runs on any Redis, embedded or
// a real server, and is imported by tests only. Open run.go first: the list of tests.
//
//	func TestConformance(t *testing.T) {
//		bustest.Run(t, func(t *testing.T) string { return testsupport.Miniredis(t) })
//	}
package bustest
