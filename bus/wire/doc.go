// Package wire is protocol version 1: the shapes of everything that Mailroom
// writes to Redis, which docs/reference/protocol.md describes for other languages. It knows
// no Redis client and sends nothing.
//
// Open request.go first: a request as it lies in a mailbox. reply.go is a reply
// line, envelope.go its JSON, keys.go the names of keys and channels, manifest.go
// what a service declares, meta.go and principal.go what travels with a request,
// lua/ the scripts that run on a service's slot. The golden files in
// ../testdata bind every language.
package wire
