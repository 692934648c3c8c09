// Package resp sends commands to Redis over connections that belong to one
// goroutine each. It is the Redis side of the request path: commands are written
// into one buffer, answers are cut out of one read, and nothing is allocated in
// between. Everything else uses the client library.
//
// The library opens the connections, so it deals with users, passwords, TLS,
// databases and Sentinel; after that it does not touch them.
//
// Open pipeline.go first: it sends commands and waits for their answers, on a
// cluster over one connection to each master. conn.go is one connection,
// commands.go writes commands, reader.go reads answers (RESP2,
// https://redis.io/docs/latest/develop/reference/protocol-spec/).
package resp
