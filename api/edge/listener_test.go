package edge

import (
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/testsupport"
)

// lackingListener is a listener that first returns errors.
type lackingListener struct {
	net.Listener
	errs []error
}

func (s *lackingListener) Accept() (net.Conn, error) {
	if len(s.errs) == 0 {
		return s.Listener.Accept()
	}
	err := s.errs[0]
	s.errs = s.errs[1:]
	return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", err)}
}

func TestListenerOutlivesAShortage(t *testing.T) {
	t.Parallel()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = ln.Close() })
	log, logs := testsupport.Logger(t)
	lacking := &lackingListener{Listener: ln, errs: []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM}}
	l := Listen(lacking, ListenerConfig{MaxConnections: 1, PerAddress: 1, Log: log})
	dial := func() net.Conn {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", ln.Addr().String())
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	dial()
	first, err := l.Accept()
	require.NoError(t, err)
	logs.Wait(t, "connections cannot be accepted")

	// There may be one: the next is closed, and the one after the first has gone is taken.
	refused, accepted := dial(), make(chan net.Conn, 1)
	go func() {
		conn, _ := l.Accept()
		accepted <- conn
	}()
	n, err := refused.Read(make([]byte, 1))
	assert.Zero(t, n)
	require.Error(t, err)
	l.open.remove(first.(*connection))
	require.NoError(t, first.Close())
	dial()
	second := <-accepted
	require.NotNil(t, second)
	require.NoError(t, second.Close())

	lacking.errs = []error{syscall.EINVAL}
	_, err = l.Accept()
	require.ErrorIs(t, err, syscall.EINVAL, "other errors end it")
}
