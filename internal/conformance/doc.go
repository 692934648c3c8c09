// Package conformance checks a worker in any language against the protocol. It starts a
// redis-server for each check, a proxy that reads every command between the worker and
// Redis, and the worker itself, which serves the fixed service "conformance"; then it sends
// requests, injects faults, and compares replies, commands and frames with what the
// protocol demands.
//
// The checks are data: suites/*.yaml. docs/reference/conformance.md describes the service
// and the checks.
//
// Open run.go first.
//
//	run.go       runs the checks and reports
//	suite.go     the suites and their steps, as data
//	stage.go     what one check runs on: Redis, proxy, workers, requests
//	steps.go     the steps
//	rival.go     takes and cancels requests of the worker
//	requests.go  sends requests and compares replies
//	rules*.go    what the recorded commands and frames have to fulfil
//	proxy.go     the proxy between the worker and Redis
//	threads.go   sees from outside whether BLOCK blocks the only thread of the worker
//	trace.go     the recorded commands and frames
//	native.go    a worker that speaks the protocol in Redis
//	framed.go    a worker that speaks frames, as a child of a host
//	socket.go    a worker that speaks frames, on a WebSocket of a gateway
//	relay.go     the proxy between it and the gateway
//	report.go    table, JUnit XML, certificate
package conformance
