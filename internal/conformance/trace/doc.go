// Package trace records the commands and frames of a worker, in their order, with their
// answers and times. It judges nothing. Open trace.go first.
//
//	trace.go    commands, frames, and their record
//	scripts.go  the Lua scripts of the protocol, by names and digests
package trace
