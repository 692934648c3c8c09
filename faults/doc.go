// Package faults tests the guarantees of docs/explanation/delivery.md under faults. It kills, freezes and disconnects real redis-server,
// worker and gateway processes while callers send requests over HTTP. After each fault it checks a ledger: every accepted
// request ended in exactly one of outcome, dead letter and expiry; no request ran again after its outcome was stored; the
// mailbox is empty.
//
// The package contains tests only; open stage_test.go first. Environment variables set the amount of work:
//
//   - MAILROOM_FAULTS=full repeats each fault often (make faults). Defaults to a short form.
//   - MAILROOM_FAULTS=long causes random faults for MAILROOM_FAULTS_MINUTES (make faults-long). Defaults to 60.
//   - MAILROOM_FAULTS_SEED repeats a schedule. Each run prints its seed.
//
// Tests whose names begin with TestSentinel or TestCluster fail over (make faults-ha), and print how long callers got no
// answers.
//
// The tests need a redis-server in PATH; see testsupport.StartRedis. TestEverythingKilled needs a python3 with the module
// websockets too.
package faults
