package testsupport

import (
	"errors"
	"fmt"
	"syscall"
)

// holdPort reserves a free loopback port by a socket that is bound but does not listen. The kernel gives such a port to no
// process that binds to any free port. A server that binds to this port with SO_REUSEADDR, as servers do, succeeds.
func holdPort() (port int, release func(), err error) {
	// Prevent forks meanwhile: a child process would inherit the socket and keep the port.
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
	return 0, nil, fmt.Errorf("read the port of a socket: %w", err)
}
