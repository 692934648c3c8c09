// Package api is the HTTP edge, and the only package that knows Fiber: it
// turns REST calls into action requests on the bus, and replies into responses.
//
// The way of a call through the package:
//
//	hostile.go    refuses what no honest client sends
//	call.go       copies everything out of Fiber once, and conducts the rest
//	authenticate.go  who is calling, and whether they may
//	table.go      route → service and action, from the live manifests
//	arguments.go  path, query and body → positional arguments, by schema
//	schema.go     what of a JSON schema the gateway has to understand itself
//	respond.go    reply → envelope, status, headers
//
// error.go is the closed table of the gateway's own codes; health.go and
// server.go are its life: ready, serving, draining.
package api
