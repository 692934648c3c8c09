package bench

import (
	"context"
	"syscall"
	"time"
)

// maxNap limits the delay until the end of a context is noticed.
const maxNap = 20 * time.Millisecond

// sleep waits in the kernel. The timers of Go are up to 1 ms late in an idle process, and
// that would count as latency.
func sleep(_ context.Context, d time.Duration) {
	t := syscall.NsecToTimespec(min(d, maxNap).Nanoseconds())
	_ = syscall.Nanosleep(&t, nil) // a signal may end it early; the caller checks the clock
}
