// Package consumer reads the mailbox of a service as one of its workers.
//
// Open consumer.go first. The request path through the package:
//
//	fetch.go      reads requests into free slots; runs fast actions itself
//	reclaim.go    takes over the unfinished requests of dead workers
//	deliver.go    decides whether a request may run, and runs it
//	settle.go     publishes and removes what has ended, in batches (settle.lua)
//	heartbeat.go  tells that the worker lives, and keeps what it runs
package consumer
