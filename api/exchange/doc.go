// Package exchange is one HTTP exchange: the request, copied out of Fiber once, and the
// ways to write an answer. All other packages below api use it.
//
// It knows no routes, credentials or services, and imports no other package below api.
//
// Open request.go first.
//
//	request.go  a request, in memory of our own
//	sent.go     which of the optional headers a request has
//	ids.go      request ID, correlation ID, traceparent
//	failure.go  an error that the gateway itself answers with
//	write.go    writes envelopes, failures and Allow
//	pattern.go  "METHOD /path/:parameter", as the operator writes it
package exchange
