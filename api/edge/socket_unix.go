//go:build unix

package edge

import (
	"net"
	"os"
	"syscall"
)

// unread reports whether bytes have arrived on a connection that are not read yet.
func unread(conn net.Conn) bool {
	with, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := with.SyscallConn()
	if err != nil {
		return false
	}
	n := 0
	err = raw.Control(func(fd uintptr) {
		n, _, _ = syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	})
	return err == nil && n > 0
}

// reserved is the number of descriptors for Redis, files and the listener.
const reserved = 256

// MaxConnections returns the number of connections that the process can have: its limit
// of descriptors without the reserved ones.
func MaxConnections() int {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil || limit.Cur > unlimited {
		return unlimited
	}
	n := int(limit.Cur)
	return max(n-reserved, n/2)
}

// acceptWaiting accepts a connection that has been made already; nil: there is none.
// Unlike Accept it ignores an expired deadline.
func acceptWaiting(ln net.Listener) net.Conn {
	with, ok := ln.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := with.SyscallConn()
	if err != nil {
		return nil
	}
	accepted := -1
	err = raw.Control(func(fd uintptr) {
		syscall.ForkLock.RLock() // no child may inherit it
		defer syscall.ForkLock.RUnlock()
		if accepted, _, err = syscall.Accept(int(fd)); err == nil {
			syscall.CloseOnExec(accepted)
		} else {
			accepted = -1
		}
	})
	if err != nil || accepted < 0 {
		return nil
	}
	file := os.NewFile(uintptr(accepted), "connection")
	defer func() { _ = file.Close() }() // the connection has a descriptor of its own
	conn, err := net.FileConn(file)
	if err != nil {
		return nil
	}
	return conn
}
