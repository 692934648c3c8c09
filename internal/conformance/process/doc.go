// Package process starts processes that end with this one, among them redis-server. Open
// process.go first.
//
//	process.go  a process, its group and its last output
//	server.go   a redis-server on a free port
package process
