package testsupport

import (
	"testing"
	"time"
)

// pollEvery is short enough not to slow a test down and long enough not to starve what it waits for on a small machine.
const pollEvery = 5 * time.Millisecond

// Eventually asks cond at once and then every 5 ms, and returns as soon as it is true. It fails the test when that has
// not happened within the given time; what completes the sentence "did not happen within 2s: ". Prefer a signal from
// the code under test where there is one; this is for state that can only be looked at.
func Eventually(t testing.TB, within time.Duration, what string, cond func() bool) {
	t.Helper()
	if !poll(within, cond) {
		t.Fatalf("did not happen within %s: %s", within, what)
	}
}

// poll reports whether cond became true in time. It asks once more when the time is up, since on a busy machine the
// two timers may fire together.
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
