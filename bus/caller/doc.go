// Package caller sends requests to services and waits for their replies.
//
// Open client.go first. The request path through the package:
//
//	client.go     registers the waiter, hands the request to the writer, waits
//	writer.go     sends the requests of all callers in batches (enqueue.lua)
//	admission.go  refuses a request whose mailbox is full or whose deadline cannot be met
//	replies.go    the one reply subscription of a process: reply line → waiter
//	sweep.go      finds the replies that pub/sub lost
//
// ticket.go sends without waiting and looks up what became of a request, record.go
// reads its record, replicas.go waits until replicas hold an outcome.
package caller
