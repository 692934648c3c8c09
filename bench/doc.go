// Package bench loads a running gateway, or the bus directly, and measures answers per
// second, latencies and failures. `mailroom bench` runs it. The scripts in this folder
// start complete set-ups and compare them; see docs/performance.md.
//
// In a closed loop ([Load] without a Rate), each connection sends its next request when
// the previous one is answered. That finds the peak rate, but hides stalls, because no
// request begins while all connections wait. In an open loop, requests begin on a fixed
// schedule, and each latency counts from the scheduled start. A stall then shows in every
// request that was due meanwhile.
//
// The package does not start gateways or workers. Open load.go first.
package bench
