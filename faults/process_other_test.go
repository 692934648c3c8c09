//go:build !linux

package faults

import "syscall"

func diesWithParent() *syscall.SysProcAttr { return nil }
