//go:build !linux

package testsupport

import "syscall"

// diesWithParent has no counterpart here: a test binary that is killed leaves its child running.
func diesWithParent() *syscall.SysProcAttr { return nil }
