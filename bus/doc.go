// Package bus connects a process to Redis: URLs, credentials, the clock of Redis and
// access errors. The packages below it use that connection:
//
//   - wire is the protocol, without a Redis client
//   - caller sends requests and waits for their replies
//   - consumer reads a mailbox and settles outcomes
//   - registry follows the live services and their manifests
//   - admin serves operators: dead letters, statistics, users of Redis
//   - bustest is the conformance suite of all of them
//
// Open connect.go first. These packages may change at any time; the public ones
// are workers, client and api.
package bus
