// Package bus connects a process to Redis: URLs, credentials, the clock of Redis
// and what Redis refuses. The packages below it do the work on that connection:
//
//   - wire is the protocol, without a Redis client
//   - caller sends requests and waits for their replies
//   - consumer reads a mailbox and settles outcomes
//   - registry knows which services there are
//   - admin is for operators: dead letters, numbers, users of Redis
//   - bustest checks all of it, with a worker in any language
//
// Open connect.go first. These packages may change at any time; the public ones
// are workers, client and api.
package bus
