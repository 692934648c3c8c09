// Package isolation tests that no caller and no service takes the others down. Each test drives one attack against real
// processes: a redis-server with 512 MB, a gateway and the workers of the example services, each with the ACL user of its
// role, and callers with API keys. Meanwhile an ordinary load of other callers runs open-loop.
//
// A measured attack has to leave the others as they were: no error; p99 of at most 1.5 times that of before, where
// differences below a floor of 20 ms do not count (60 ms where a service makes Redis copy values of 19 MB); a gateway with
// at most 200 MB at its peak; and the p99 of before at most 10 s after the attacker has stopped. The p99 is the median of
// those of whole seconds, so that one pause of the machine does not count, and no attack begins while the machine is too
// busy for the load to keep its rate. `go test -v ./isolation` prints a line with the
// figures of each attack. With the race detector, p99 and memory are printed and not checked.
//
// The attacker runs on the same machine as its victims. Floods over HTTP have the lowest priority for CPU time, as if
// they came from another one. Tests of attacks that put no load on anything measure nothing and run in parallel, after the others.
//
// The package contains tests only; open stage_test.go first. docs/explanation/security.md lists the threats with their
// bounds and tests. The tests need a redis-server in PATH; see testsupport.StartRedis.
package isolation
