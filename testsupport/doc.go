// Package testsupport holds what the tests of all packages share: a Redis to talk to, a network that can be broken on
// purpose, captured logs, bounded waiting and the check that nothing was leaked. It imports none of the other packages,
// so any of them may use it from its tests; code that ships never does.
//
// Two kinds of Redis, and when to take which:
//
//   - [Miniredis] runs inside the test binary and needs nothing installed. Take it for logic.
//   - [StartRedis] runs a real redis-server process of the test's own. Take it for everything miniredis does
//     differently or lacks: faults, ACLs, delivery counts, deleted entries, memory, restarts. Where redis-server is not
//     installed such a test is skipped, unless MAILROOM_TEST_REDIS=required makes that a failure.
//
// [StartProxy] stands between a client and either of them and breaks the connection in chosen ways.
//
// Every function that takes a [testing.TB] cleans up after itself and must be called from the test's own goroutine,
// because it may end the test.
package testsupport
