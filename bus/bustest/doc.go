// Package bustest is the conformance suite of the bus: what every Redis under
// it has to carry, be it the embedded one or a real server.
//
//	func TestConformance(t *testing.T) {
//		bustest.Run(t, func(t *testing.T) string { return testsupport.Miniredis(t) })
//	}
package bustest
