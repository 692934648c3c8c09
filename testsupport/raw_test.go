package testsupport

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// rawPing is the command PING in bytes.
const rawPing = "*1\r\n$4\r\nPING\r\n"

// dialRaw opens a connection until the test ends; its reads and writes have a time limit.
func dialRaw(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() }) // the proxy may have closed it already
	require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	return conn
}

// pingRaw sends PING, and waits for an answer until the time limit.
func pingRaw(conn net.Conn, within time.Duration) error {
	if err := conn.SetDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte(rawPing)); err != nil {
		return err
	}
	_, err := conn.Read(make([]byte, 100))
	return err
}
