package faults

import "syscall"

// diesWithParent makes the kernel end a process when the test binary dies without its cleanups, even a frozen one.
func diesWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
