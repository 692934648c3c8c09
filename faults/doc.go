// Package faults proves what docs/explanation/delivery.md promises, by breaking things: real redis-server processes, workers and
// gateways as processes of their own that are killed, frozen and cut off, while callers go on asking over HTTP. After
// each fault a ledger is checked: every accepted request ended in exactly one of outcome, dead letter and expiry; no
// request ran again once its outcome was stored; nothing is left in the mailbox.
//
// It holds tests only. How much they do, environment variables say:
//
//   - MAILROOM_FAULTS=full repeats each fault often (make faults); the default is a short form.
//   - MAILROOM_FAULTS=long breaks things at random for MAILROOM_FAULTS_MINUTES, 60 unless set (make faults-long).
//   - MAILROOM_FAULTS_SEED repeats a schedule: each run prints its seed.
//
// The tests need a redis-server in PATH; see testsupport.StartRedis.
package faults
