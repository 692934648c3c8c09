//go:build !linux

package testsupport

import "syscall"

// DiesWithParent returns nil on this system: the child survives a test binary that is killed.
func DiesWithParent() *syscall.SysProcAttr { return nil }

// standsStill cannot read the state of a process on this system.
func standsStill(int) bool { return true }
