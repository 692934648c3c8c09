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

// listener notes the connections that it takes, and takes all that have been
// made before it closes: the kernel would reset those that wait.
type Listener struct {
	net.Listener
	taken  *connections
	most   int         // connections at once; more are closed
	secure *tls.Config // nil: plain HTTP
	log    *slog.Logger
	told   time.Time // when it was last logged that there are too many
	ending atomic.Bool
}

// Listen returns a listener that takes at most so many connections at once. With a
// certificate it serves TLS.
func Listen(ln net.Listener, most int, cert *Certificate, log *slog.Logger) *Listener {
	l := &Listener{Listener: ln, taken: &connections{open: make(map[*connection]struct{})}, most: most, log: log}
	if cert != nil {
		l.secure = cert.config()
	}
	return l
}

// changed is called by the HTTP library when a connection changes its state.
func (l *Listener) Changed(conn net.Conn, state fasthttp.ConnState) { l.taken.changed(conn, state) }

// drain closes idle connections until there are none, or the context ends.
func (l *Listener) Drain(ctx context.Context) { l.taken.drain(ctx) }

// Accept waits for the next connection and notes it. It does not fail for want of
// descriptors or memory: they come back, and until then others wait.
func (l *Listener) Accept() (net.Conn, error) {
	var wait time.Duration
	for {
		conn, err := l.Listener.Accept()
		switch {
		case err != nil && l.ending.Load():
			if conn = acceptWaiting(l.Listener); conn == nil {
				_ = l.Close() // which may have happened already
				return nil, net.ErrClosed
			}
		case isShortage(err):
			l.tell("connections cannot be taken, trying again", "error", err)
			wait = min(max(2*wait, 5*time.Millisecond), time.Second)
			<-time.After(wait)
			continue
		case err != nil:
			return nil, err
		}
		if c := l.take(conn); c != nil {
			return c, nil
		}
	}
}

// take notes a connection; nil: there are too many, and it was closed.
func (l *Listener) take(conn net.Conn) *connection {
	c := &connection{Conn: conn, socket: conn}
	c.idle.Store(time.Now().UnixNano()) // until its first byte
	if l.secure != nil {
		c.Conn = tls.Server(conn, l.secure)
	}
	l.taken.mu.Lock()
	open := len(l.taken.open)
	if open < l.most {
		l.taken.open[c] = struct{}{}
	}
	l.taken.mu.Unlock()
	if open < l.most {
		return c
	}
	l.tell("there are as many connections as may be, closing new ones", "connections", open)
	_ = conn.Close()
	return nil
}

// tell logs, once a minute.
func (l *Listener) tell(message string, args ...any) {
	if now := time.Now(); now.Sub(l.told) > time.Minute {
		l.told = now
		l.log.Warn(message, args...) //nolint:sloglint // its two callers' messages are constant
	}
}

// unlimited is more connections than a process ever has.
const unlimited = 1 << 20

// isShortage reports that the system has no descriptors or memory for a connection now.
func isShortage(err error) bool {
	for _, want := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, want) {
			return true
		}
	}
	return false
}

// end makes Accept take what waits, and then close.
func (l *Listener) End() {
	l.ending.Store(true)
	if with, ok := l.Listener.(interface{ SetDeadline(t time.Time) error }); !ok || with.SetDeadline(time.Now()) != nil {
		_ = l.Close()
	}
}
