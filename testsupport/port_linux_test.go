package testsupport

import (
	"net"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// A server of the test can listen on its port again and again. Other processes that bind to any free port do not get it.
func TestFreePortIsHeld(t *testing.T) {
	t.Parallel()
	port := FreePort(t)
	addr := net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}
	for range 2 {
		ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", addr.String())
		require.NoError(t, err)
		require.NoError(t, ln.Close())
		fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		require.NoError(t, err)
		err = syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: port})
		require.NoError(t, syscall.Close(fd))
		require.ErrorIs(t, err, syscall.EADDRINUSE)
	}
}
