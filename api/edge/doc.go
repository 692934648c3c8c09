// Package edge is the network side of the gateway: the listener, TLS, the bounds on
// connections, sizes and headers, and the drain. It answers a message that is not a
// valid request before any other package sees it.
//
// It knows no routes, credentials or services; the gateway passes it functions for them.
//
// Open gate.go first: every HTTP message passes the Gate.
//
//	gate.go         form, size and headers of a message; answers of panics
//	framing.go      refuses messages that two parties could read differently, by their bytes
//	field.go        header lines and hosts of these
//	hostile.go      the same for the request line
//	size.go         body and envelope limits of single routes
//	headers.go      headers of every answer
//	cors.go         answers for pages of other origins
//	listener.go     accepts connections, up to a limit
//	connection.go   one connection: its deadlines and its close
//	drain.go        closes idle connections when the gateway stops
//	certificate.go  the TLS certificate, read again when it changes
//	socket_*.go     what only the operating system knows of a socket
package edge
