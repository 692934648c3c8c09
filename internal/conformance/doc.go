// Package conformance checks a worker in any language against the protocol. It starts a
// redis-server for each check, a proxy that reads every command between the worker and
// Redis, and the worker itself, which serves the fixed service "conformance"; then it sends
// requests, injects faults, and compares replies, commands and frames with what the
// protocol demands.
//
// The checks are data: package suites. docs/reference/conformance.md describes the service
// and the checks.
//
// Open run.go first.
//
//	run.go       runs the checks
//	stage.go     what one check runs on: Redis, proxy, workers, requests
//	steps.go     the steps
//	requests.go  sends requests and compares replies
//	rival.go     takes and cancels requests of the worker
//	rules*.go    what the recorded commands and frames have to fulfil
//	threads.go   sees from outside whether BLOCK blocks the only thread of the worker
//	failure.go   why a check failed
//
// Imports point down this list:
//
//	report       table, JUnit XML, certificate
//	conformance  this package
//	worker       the worker under test: a process in Redis, under a host, or on a socket
//	proxy        the proxy between the worker and Redis
//	trace        the recorded commands and frames
//	process      processes, among them redis-server
//	resp         the bytes of Redis
//	suites       the service and the checks
//
// Package mutants tests the checks by workers with planted bugs.
package conformance
