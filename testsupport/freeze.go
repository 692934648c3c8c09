package testsupport

import (
	"syscall"
	"testing"
	"time"
)

// freezeWait is the time in which all threads of a process have to stop.
const freezeWait = 20 * time.Second

// Freeze sends SIGSTOP to a process and returns when all its threads have stopped: on a busy machine that takes a while, in
// which the process still works.
func Freeze(t testing.TB, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatalf("freeze process %d: %v", pid, err)
	}
	Eventually(t, freezeWait, "the process stands still", func() bool { return standsStill(pid) })
}

// Thaw sends SIGCONT, which continues a frozen process.
func Thaw(t testing.TB, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatalf("continue process %d: %v", pid, err)
	}
}
