//go:build !linux

package testsupport

import (
	"fmt"
	"net"
)

// holdPort returns a free loopback port. It cannot reserve the port on this system: another process may take it.
func holdPort() (port int, release func(), err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it does not wait
	if err != nil {
		return 0, nil, fmt.Errorf("find a free port: %w", err)
	}
	if err := listener.Close(); err != nil {
		return 0, nil, fmt.Errorf("release a free port: %w", err)
	}
	return listener.Addr().(*net.TCPAddr).Port, func() {}, nil //nolint:forcetypeassert // it listens on TCP
}
