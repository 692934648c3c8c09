// Package socket serves frames on WebSockets (https://www.rfc-editor.org/rfc/rfc6455): to
// clients, which call actions, and to workers, which serve a service.
//
// It knows no HTTP routes and no Redis: the gateway answers the calls, and package
// internal/host serves the workers.
//
// Open sockets.go first.
//
//	sockets.go    all sockets of a gateway
//	handshake.go  turns an HTTP request into a socket
//	conn.go       messages on a connection
//	write.go      frames and close codes on a connection
//	session.go    one socket, until it is known who speaks
//	client.go     the requests of a client
//	pool.go       goroutines for the requests
//	subscribe.go  the subscriptions of clients
//	gateway.go    what the gateway does for a peer
package socket
