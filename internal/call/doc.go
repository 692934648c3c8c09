// Package call is the one way to call an action: the gateway's routes, the steps of
// compositions, handlers, the command line and package client all use it.
//
// It finds the action in the manifest of its service, answers from the shared cache or
// joins an identical call where the action allows it, limits the calls in flight, sends the
// request, and turns every failure into one error with a code.
//
// It knows no HTTP and no Redis: package bus/caller sends requests, package cache stores
// answers.
//
// Open caller.go first.
//
//	call.go     a call and its answer
//	caller.go   Do, Result and Send
//	share.go    a call through the cache
//	shared.go   a cache entry, and its key
//	limit.go    the calls in flight
//	explain.go  failure → error with a code
//	open.go     a caller with its own client and cache, for processes that are not gateways
package call
