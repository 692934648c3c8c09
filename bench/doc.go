// Package bench puts load on a running gateway, or straight on the bus, and
// measures it: how many answers a second, how long they took, what failed. It
// is what `mailroom bench` runs. The scripts beside it start whole set-ups
// and compare them: see docs/performance.md.
//
// In a closed loop ([Load] without a Rate) each connection asks again as soon
// as it is answered: that finds the peak, and hides stalls, since nobody asks
// while everybody waits. In an open loop requests begin on a fixed schedule,
// and each latency counts from the intended start, so that a stall shows in
// every request that should have begun meanwhile.
package bench
