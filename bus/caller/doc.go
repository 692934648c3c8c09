// Package caller sends requests to services and waits for their replies.
//
// Open client.go first. The request path through the package:
//
//	client.go        registers the waiter, gives the request to the writer, waits
//	admission.go     refuses a request if its mailbox is full or its deadline cannot be met
//	writer.go        sends the requests of all callers in batches (enqueue.lua)
//	waiters.go       the table of the callers that wait, by request ID
//	subscription.go  the one reply subscription of a process: reply line → waiter
//	health.go        pings the subscription and stops requests while Redis does not answer
//	sweep.go         finds the replies that pub/sub lost
//
// ticket.go sends without waiting, watches and cancels a request, record.go reads its
// record, replicas.go waits until replicas hold an outcome.
package caller
