package ops_test

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/internal/ops"
	"github.com/oskadev/mailroom/testsupport"
)

func TestMain(m *testing.M) { testsupport.Main(m) }

// A flood of the operator's pages from one address leaves room for others and ends.
func TestFloods(t *testing.T) {
	t.Parallel()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- ops.Serve(ctx, ln, ops.Handler(func() error { return nil }), slog.New(slog.DiscardHandler))
	}()
	t.Cleanup(func() {
		stop()
		assert.NoError(t, <-ended)
	})
	dial := func(from string) net.Conn {
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		conn, err := dialer.DialContext(t.Context(), "tcp", ln.Addr().String())
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
		return conn
	}
	healthy := func(conn net.Conn) {
		t.Helper()
		_, err := io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
		require.NoError(t, err)
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		assert.Equal(t, http.StatusOK, response.StatusCode)
	}
	flood := make([]net.Conn, 64)
	for i := range flood {
		flood[i] = dial("127.0.0.2")
		healthy(flood[i])
	}
	_, err = dial("127.0.0.2").Read(make([]byte, 1))
	require.Error(t, err, "one too many of this address")
	healthy(dial("127.0.0.3"))
	require.NoError(t, flood[0].Close())
	testsupport.Eventually(t, 10*time.Second, "there is room again", func() bool {
		conn := dial("127.0.0.2")
		_, _ = io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
		_, err := conn.Read(make([]byte, 1))
		return err == nil
	})
}
