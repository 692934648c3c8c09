// Package registry follows the services of a namespace: their live workers and their
// manifests. It does not write to Redis. It trusts no service: what one can make it read,
// hold and compute is bounded, and does not delay the others.
//
// Open registry.go first.
//
//	registry.go   New, Run, Snapshot
//	look.go       one read of all services, or of announced ones
//	scan.go       the names of the known services
//	hints.go      the announced services
//	visit.go      one read of one service
//	judge.go      a manifest → its actions, or why it is refused
//	limits.go     the limits
//	readers.go    the connections
//	intersect.go  merges the manifests while workers of two builds run
package registry
