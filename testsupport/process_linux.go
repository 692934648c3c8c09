package testsupport

import "syscall"

// diesWithParent makes the kernel end the child when the test binary dies without running its cleanups, for example
// by -timeout or SIGKILL. The kernel goes by the thread that started the child; the Go runtime ends a thread only with a
// goroutine that locked it and never unlocked it, which no test does.
func diesWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
