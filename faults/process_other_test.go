//go:build !linux

package faults

import "syscall"

func diesWithParent() *syscall.SysProcAttr { return nil }

// standsStill cannot read the state of a process on this system.
func standsStill(int) bool { return true }
