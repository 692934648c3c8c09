package testsupport

import (
	"errors"
	"fmt"
	"syscall"
)

// holdPort takes a free loopback port and holds it: a socket that is bound and does not listen keeps the kernel from
// giving the port to anybody who asks for any, while a server that names it, with SO_REUSEADDR as all do, may have it.
func holdPort() (port int, release func(), err error) {
	// Forking has to wait, or a child would inherit the socket and hold it too.
	syscall.ForkLock.RLock()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	syscall.ForkLock.RUnlock()
	if err != nil {
		return 0, nil, fmt.Errorf("open a socket: %w", err)
	}
	release = func() { _ = syscall.Close(fd) }
	err = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
	if err == nil {
		err = syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	}
	if err != nil {
		release()
		return 0, nil, fmt.Errorf("bind a socket to a free port: %w", err)
	}
	name, err := syscall.Getsockname(fd)
	if err == nil {
		if address, ok := name.(*syscall.SockaddrInet4); ok {
			return address.Port, release, nil
		}
		err = errors.New("not an IPv4 socket")
	}
	release()
	return 0, nil, fmt.Errorf("ask for the port of a socket: %w", err)
}
