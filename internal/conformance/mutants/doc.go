// Package mutants proves by tests that the checks find faults: it has workers with planted
// bugs, each with the check that has to find it. There is nothing but tests. Open
// mutants_test.go first.
//
//	mutants_test.go  the bugs of the native worker, and the tests
//	service_test.go  the service of both workers
//	native_test.go   a worker that speaks the protocol in Redis; settle_test.go: how it ends requests
//	frames_test.go   a worker that speaks frames, and its bugs
//	testdata         a worker with one thread
package mutants
