// Package bustest is the conformance suite of the bus. It runs on the embedded Redis and
// on real servers.
//
//	func TestConformance(t *testing.T) {
//		bustest.Run(t, func(t *testing.T) string { return testsupport.Miniredis(t) })
//	}
package bustest
