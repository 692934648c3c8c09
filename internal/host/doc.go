// Package host runs the worker side of the bus for workers that speak frames: it reads the
// mailbox, passes the requests on to the workers' connections, and settles the outcomes
// that they return.
//
// It knows neither processes nor WebSockets: a transport is a Conn.
//
// Open host.go first.
//
//	host.go     the connections of a process, and the services that they serve
//	service.go  one service, and the connections that share its requests
//	session.go  one connection
//	run.go      one request on a connection
//	lines.go    frames as lines, on a pipe or a unix socket
package host
