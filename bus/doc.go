// Package bus carries requests from those who ask to those who answer, over
// Redis alone. It is wire protocol version 1, which docs/protocol.md describes
// for other languages.
//
// The way of a request through the package:
//
//	client.go    registers the waiter, hands the request over, waits
//	writer.go    sends the requests of all callers in batches (lua/enqueue.lua)
//	consumer.go  reads a service's mailbox into free slots
//	reclaim.go   brings what dead workers left unfinished
//	settle.go    publishes and removes what has ended, in batches (lua/settle.lua)
//	replies.go   the one subscription of a process: reply line → waiter
//	sweep.go     finds the answers that pub/sub lost
//
// Beside it: keys.go, request.go, reply.go, envelope.go and manifest.go are the
// shapes on the wire, heartbeat.go and registry.go tell who serves what, and
// clock.go keeps the time of Redis.
package bus
