// Package consumer reads the mailbox of a service as one of its workers, runs the
// requests, and settles their outcomes. It knows no handlers: package workers does.
//
// Open consumer.go first. The request path through the package:
//
//	fetch.go     reads requests into free slots
//	inline.go    runs fast actions on the reader (fast.go, monitor.go)
//	pool.go      goroutines that run the other actions
//	reclaim.go   takes over the pending requests of dead workers
//	suspects.go  runs them one at a time, since one may have ended its worker
//	steady.go    decides when a worker may claim
//	runner.go    decides whether a request may run, and runs it
//	outcome.go   how a run ends: Done, Expired, Dead, Cancelled, Retry, Release or NotBegun
//	settle.go    publishes and removes what has ended, in batches (settle.lua)
//
// Beside it: requests.go keeps the table of running requests, presence.go sends
// heartbeats, trace.go makes spans, worker.go is what all parts share.
package consumer
