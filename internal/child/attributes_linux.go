package child

import "syscall"

// attributes puts the child into a process group of its own, and has the kernel end it
// with this process.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
