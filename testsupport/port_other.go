//go:build !linux

package testsupport

import (
	"fmt"
	"net"
)

// holdPort finds a free loopback port. It cannot hold it here: somebody else may take it in between.
func holdPort() (port int, release func(), err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it does not wait
	if err != nil {
		return 0, nil, fmt.Errorf("find a free port: %w", err)
	}
	if err := listener.Close(); err != nil {
		return 0, nil, fmt.Errorf("give a free port back: %w", err)
	}
	return listener.Addr().(*net.TCPAddr).Port, func() {}, nil //nolint:forcetypeassert // it listens on TCP
}
