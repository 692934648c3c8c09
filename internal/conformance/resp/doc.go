// Package resp reads and writes the protocol of Redis. Unlike internal/resp, which is made for
// speed, it keeps the bytes of each command and answer, so that a proxy can pass them on.
// Open resp.go first.
//
//	resp.go    commands and answers
//	client.go  a connection that sends one command at a time
package resp
