// Package api is the HTTP edge, and the only package that knows Fiber: it
// turns REST calls into action requests on the bus, and replies into responses.
//
// The way of a call through the package:
//
//	hostile.go       refuses what no honest client sends
//	call.go          copies everything out of Fiber once, and conducts the rest
//	limit.go         how often calls may come (api/limits counts)
//	authenticate.go  who is calling, and whether they may (api/keys, api/tokens)
//	table.go         route → service and action, from the live manifests
//	arguments.go     path, query and body → positional arguments, by schema
//	json.go          reads bodies strictly
//	schema.go        what of a JSON schema the gateway has to understand itself
//	bulkhead.go      how many calls of one service are in flight
//	cached.go        a read whose answer others share
//	respond.go       reply → envelope, status, headers
//	explain.go       an error of the bus → the gateway's own answer
//
// error.go is the closed table of the gateway's own codes, headers.go and size.go
// are what every answer and each route is held to; connection.go, certificate.go
// and address.go are the network; health.go and server.go are its life: ready,
// serving, draining.
package api
