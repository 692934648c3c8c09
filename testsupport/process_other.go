//go:build !linux

package testsupport

import "syscall"

// DiesWithParent returns nil on this system: the child survives a test binary that is killed.
func DiesWithParent() *syscall.SysProcAttr { return nil }
