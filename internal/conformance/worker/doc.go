// Package worker runs the worker under test. Open worker.go first.
//
//	worker.go  what all workers have, and how one is started
//	native.go  a worker that speaks the protocol in Redis
//	framed.go  a worker that speaks frames, as a child of a host
//	socket.go  a worker that speaks frames, on a WebSocket of a gateway
//	relay.go   the proxy between it and the gateway, which records the frames
package worker
