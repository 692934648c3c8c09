//go:build !linux

package faults

import "syscall"

func diesWithParent() *syscall.SysProcAttr { return nil }

// standsStill cannot be told here.
func standsStill(int) bool { return true }
