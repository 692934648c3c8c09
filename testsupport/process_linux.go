package testsupport

import "syscall"

// DiesWithParent returns process attributes that make the kernel end the child if the test binary ends without its
// cleanups, for example by -timeout or SIGKILL. The kernel does so when the thread that started the child ends. The Go
// runtime ends a thread only if a goroutine has locked it and not unlocked it, which no test does.
func DiesWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
