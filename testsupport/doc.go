// Package testsupport provides Redis servers, a proxy that breaks connections, captured logs, waiting with a limit, and a
// check for leaked goroutines to the tests of all packages. It imports no other package of the module, and only tests
// import it.
//
// There are two kinds of Redis:
//
//   - [Miniredis] runs in the test binary and needs no installation. Use it for logic.
//   - [StartRedis] starts a redis-server process for one test. Use it for everything that miniredis lacks or does in
//     another way: faults, ACLs, delivery counts, deleted entries, memory, restarts. Without redis-server in PATH the test
//     is skipped; with MAILROOM_TEST_REDIS=required it fails.
//
// [StartSentinels] and [StartCluster] start groups of such processes, which fail over when a test kills or freezes a master.
//
// [StartProxy] starts a proxy before either of them. Open server.go and proxy.go first.
//
// Every function that takes a [testing.TB] cleans up when the test ends. Call it from the goroutine of the test, because it
// may end the test.
package testsupport
