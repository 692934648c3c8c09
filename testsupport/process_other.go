//go:build !linux

package testsupport

import "syscall"

// diesWithParent does nothing on this system: the child survives a test binary that is killed.
func diesWithParent() *syscall.SysProcAttr { return nil }
