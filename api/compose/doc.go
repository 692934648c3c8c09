// Package compose runs compositions, the routes of a version that call several actions. A
// composition with an unsafe step is itself a request: gateways consume it from a mailbox
// of their own and run each step under a derived ID, so that a step happens once although
// its gateway may fail. A composition that only reads runs in the gateway of its caller.
//
// It does not parse or plan versions (package versions does) nor match routes.
//
// Open composer.go first.
//
//	composer.go     consumes the mailbox; keeps the plans of running compositions
//	composition.go  one run of one request
//	read.go         a plan that only reads
//	step.go         the call of a step, and its failure as a reply
package compose
