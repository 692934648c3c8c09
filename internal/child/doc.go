// Package child runs a worker in any language as a child process: it starts the command,
// finds out how the child speaks frames, writes its output to the log, and starts it again
// when it ends.
//
// Open supervise.go first.
//
//	supervise.go  starts a child again and again
//	process.go    one child process
//	transport.go  its connection: stdin and stdout, or a unix socket
//	output.go     its output in the log
package child
