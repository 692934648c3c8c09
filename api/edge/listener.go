package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"
)

// Listener accepts connections up to a limit and tracks them until they end. Before it
// closes it accepts those that wait: the kernel would reset them.
type Listener struct {
	net.Listener
	open   *connections
	max    int         // connections at once; more are closed
	secure *tls.Config // nil: plain HTTP
	log    *slog.Logger
	logged time.Time // when warn last logged
	ending atomic.Bool
}

// Listen returns a listener that accepts from ln up to max connections at once. With a
// certificate it serves TLS.
func Listen(ln net.Listener, max int, cert *Certificate, log *slog.Logger) *Listener {
	l := &Listener{Listener: ln, open: &connections{open: make(map[*connection]struct{})}, max: max, log: log}
	if cert != nil {
		l.secure = cert.config()
	}
	return l
}

// OnConnState is the ConnState callback of the HTTP library.
func (l *Listener) OnConnState(conn net.Conn, state fasthttp.ConnState) { l.open.changed(conn, state) }

// Drain closes idle connections until none is open or the context ends.
func (l *Listener) Drain(ctx context.Context) { l.open.drain(ctx) }

// Accept waits for the next connection and tracks it. It does not fail while descriptors
// or memory are short: it tries again after 5 ms to 1 s.
func (l *Listener) Accept() (net.Conn, error) {
	var wait time.Duration
	for {
		conn, err := l.Listener.Accept()
		switch {
		case err != nil && l.ending.Load():
			if conn = acceptWaiting(l.Listener); conn == nil {
				_ = l.Close() // it may be closed already
				return nil, net.ErrClosed
			}
		case isShortage(err):
			l.warn("connections cannot be accepted, trying again", "error", err)
			wait = min(max(2*wait, 5*time.Millisecond), time.Second)
			<-time.After(wait)
			continue
		case err != nil:
			return nil, err
		}
		if c := l.track(conn); c != nil {
			return c, nil
		}
	}
}

// track adds a connection; nil: the limit is reached, and it was closed.
func (l *Listener) track(conn net.Conn) *connection {
	c := &connection{Conn: conn, socket: conn}
	c.idle.Store(time.Now().UnixNano()) // until its first byte
	if l.secure != nil {
		c.Conn = tls.Server(conn, l.secure)
	}
	l.open.mu.Lock()
	open := len(l.open.open)
	if open < l.max {
		l.open.open[c] = struct{}{}
	}
	l.open.mu.Unlock()
	if open < l.max {
		return c
	}
	l.warn("the connection limit is reached, closing new connections", "connections", open)
	_ = conn.Close()
	return nil
}

// warn logs at most once a minute.
func (l *Listener) warn(message string, args ...any) {
	if now := time.Now(); now.Sub(l.logged) > time.Minute {
		l.logged = now
		l.log.Warn(message, args...) //nolint:sloglint // the messages of its two callers are constant
	}
}

// unlimited is more connections than any process has.
const unlimited = 1 << 20

// isShortage reports whether the system lacks descriptors or memory for a connection.
func isShortage(err error) bool {
	for _, want := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, want) {
			return true
		}
	}
	return false
}

// End makes Accept return the connections that wait and then net.ErrClosed.
func (l *Listener) End() {
	l.ending.Store(true)
	if with, ok := l.Listener.(interface{ SetDeadline(t time.Time) error }); !ok || with.SetDeadline(time.Now()) != nil {
		_ = l.Close()
	}
}
