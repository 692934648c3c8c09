package testsupport

import (
	"testing"
	"time"
)

// pollEvery is short enough for fast tests, and long enough to leave CPU time to the code under test.
const pollEvery = 5 * time.Millisecond

// Eventually calls cond at once and then every 5 ms, and returns when it is true. If it is still false after the time
// within, the test fails with "did not happen within 2s: " and what. Use it only for state that has to be polled; prefer a
// signal from the code under test.
func Eventually(t testing.TB, within time.Duration, what string, cond func() bool) {
	t.Helper()
	if !poll(within, cond) {
		t.Fatalf("did not happen within %s: %s", within, what)
	}
}

// poll reports whether cond became true in time. It calls cond once more at the end, because on a busy machine both timers
// may fire together.
func poll(within time.Duration, cond func() bool) bool {
	if cond() {
		return true
	}
	end := time.NewTimer(within)
	defer end.Stop()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case <-end.C:
			return cond()
		case <-tick.C:
			if cond() {
				return true
			}
		}
	}
}
