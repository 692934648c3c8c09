// Package call is the one way to call an action: the gateway's routes, the steps
// of compositions, handlers, the command line and package client all use it.
//
// It finds the action in what its service declares, answers from the shared cache
// or joins an identical call where the action allows it, limits the calls in
// flight, sends the request, and turns every failure into one error with a code.
//
// It knows no HTTP and no Redis. Open call.go first; explain.go maps errors to
// codes, shared.go is a cached answer, limit.go counts calls in flight.
package call
