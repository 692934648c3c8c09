// Package tickets serves the outcomes of requests to callers that come back for them: the
// answer 202 with a ticket, and /requests/<service>.<id> with its state, its events and its
// cancellation. It also reads the headers that ask for a ticket.
//
// It does not send requests and does not keep outcomes: package bus/caller does.
//
// Open tickets.go first.
//
//	tickets.go      the path of a ticket: who may read it, and its methods
//	events.go       the states of a request as server-sent events
//	prefer.go       the header Prefer
//	idempotency.go  the header Idempotency-Key
package tickets
