package bench

import (
	"context"
	"syscall"
	"time"
)

// longestNap bounds how late the end of a context is seen.
const longestNap = 20 * time.Millisecond

// sleep waits in the kernel: the timers of Go are up to a millisecond late in
// a process that has nothing else to do, and that would count as latency.
func sleep(_ context.Context, d time.Duration) {
	t := syscall.NsecToTimespec(min(d, longestNap).Nanoseconds())
	_ = syscall.Nanosleep(&t, nil) // woken early by a signal, the caller looks at the clock again
}
