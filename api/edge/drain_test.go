package edge

import (
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"github.com/oskadev/mailroom/testsupport"
)

// A connection with an unread request is not closed, however long it was idle.
func TestIdleConnectionsEndUnlessARequestHasArrived(t *testing.T) {
	t.Parallel()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := Listen(ln, ListenerConfig{MaxConnections: unlimited, PerAddress: unlimited, Log: slog.New(slog.DiscardHandler)})
	taken := l.open
	t.Cleanup(func() { _ = l.Close() })
	connect := func() (client, server net.Conn) {
		client, err := new(net.Dialer).DialContext(t.Context(), "tcp", ln.Addr().String())
		require.NoError(t, err)
		require.NoError(t, client.SetDeadline(time.Now().Add(10*time.Second)))
		server, err = l.Accept()
		require.NoError(t, err)
		t.Cleanup(func() { _, _ = client.Close(), server.Close() })
		return client, server
	}
	client, server := connect()
	_, fresh := connect()
	_, busy := connect()
	silent, never := connect()
	taken.changed(never, fasthttp.StateNew)
	taken.changed(fresh, fasthttp.StateActive)
	taken.changed(busy, fasthttp.StateActive)
	taken.changed(server, fasthttp.StateIdle)
	_, err = client.Write([]byte("GET "))
	require.NoError(t, err)
	testsupport.Eventually(t, 5*time.Second, "it has arrived", func() bool { return unread(server.(*connection).Conn) })

	assert.Equal(t, 4, taken.closeIdle(time.Now()))
	_, err = silent.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF, "nothing ever came on it")
	taken.changed(never, fasthttp.StateClosed)
	taken.changed(fresh, fasthttp.StateIdle)
	assert.Equal(t, 3, taken.closeIdle(time.Now().Add(-time.Minute)))
	_, err = fresh.Write([]byte("HTTP"))
	require.NoError(t, err, "it was in use a moment ago")
	taken.changed(fresh, fasthttp.StateActive)
	read := make([]byte, 4)
	_, err = server.Read(read)
	require.NoError(t, err, "it was closed with a request on it")
	assert.Equal(t, 3, taken.closeIdle(time.Now()))
	_, err = server.Write([]byte("HTTP"))
	require.NoError(t, err, "it was closed while the request was under way")
	_, err = client.Read(read)
	require.NoError(t, err)

	taken.changed(server, fasthttp.StateIdle)
	taken.closeIdle(time.Now())
	_, err = client.Read(read)
	require.Error(t, err, "it lies idle and is open still")
	for _, c := range []net.Conn{server, fresh, busy} {
		taken.changed(c, fasthttp.StateClosed)
	}
	assert.Zero(t, taken.closeIdle(time.Now()))
}

// Connections in the backlog of the kernel are accepted before the listener closes, which
// would reset them.
func TestListenerTakesWhatWaitsBeforeItCloses(t *testing.T) {
	t.Parallel()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := Listen(ln, ListenerConfig{MaxConnections: unlimited, PerAddress: unlimited, Log: slog.New(slog.DiscardHandler)})
	const waiting = 5
	for range waiting {
		client, err := new(net.Dialer).DialContext(t.Context(), "tcp", ln.Addr().String())
		require.NoError(t, err)
		t.Cleanup(func() { _ = client.Close() })
		_, err = client.Write([]byte("hello"))
		require.NoError(t, err)
	}
	l.End()
	for range waiting {
		conn, err := l.Accept()
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		read := make([]byte, 5)
		require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
		_, err = conn.Read(read)
		require.NoError(t, err)
		assert.Equal(t, "hello", string(read))
	}
	_, err = l.Accept()
	require.ErrorIs(t, err, net.ErrClosed)
	_, err = new(net.Dialer).DialContext(t.Context(), "tcp", ln.Addr().String())
	require.Error(t, err)
}
