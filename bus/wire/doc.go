// Package wire is protocol version 1: the format of everything that Mailroom writes to
// Redis. docs/reference/protocol.md describes it for other languages. The package has no Redis
// client and sends nothing.
//
// Open request.go first: a request in a mailbox. reply.go is a reply
// line, envelope.go its JSON, keys.go the names of keys and channels, manifest.go
// the declaration of a service, meta.go and principal.go the metadata of a request,
// lua/ the scripts that run on a service's slot. The golden files in
// ../testdata bind every language.
package wire
