package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/oskadev/mailroom/internal/share"
)

// Listener accepts connections up to a limit and tracks them until they end. Above the limit
// it accepts a few for probes. Before it closes it accepts those that wait: the kernel would
// reset them.
type Listener struct {
	net.Listener
	cfg    ListenerConfig
	open   *connections
	secure *tls.Config // nil: plain HTTP
	logged time.Time   // when warn last logged
	ending atomic.Bool
}

// ListenerConfig configures a Listener. MaxConnections, PerAddress and Log are required.
type ListenerConfig struct {
	// MaxConnections is the maximum number of connections.
	MaxConnections int
	// PerAddress is the maximum number of connections of one client address, or of one
	// IPv6 network of 64 bits.
	PerAddress int
	// Exempt are the networks without this bound: those of proxies. Defaults to none.
	Exempt []netip.Prefix
	// Certificate is that of TLS. Defaults to plain HTTP.
	Certificate *Certificate
	// Log receives warnings.
	Log *slog.Logger
}

// Bounds of the connections above the limit, which are for probes.
const (
	maxSpares       = 16
	sparesOfAddress = 4
	spareTime       = 2 * time.Second
)

// Listen returns a listener that accepts from ln. With a certificate it serves TLS.
func Listen(ln net.Listener, cfg ListenerConfig) *Listener {
	l := &Listener{Listener: ln, cfg: cfg, open: &connections{
		open:   make(map[*connection]struct{}),
		normal: share.New[netip.Addr](cfg.MaxConnections, cfg.PerAddress),
		spare:  share.New[netip.Addr](maxSpares, sparesOfAddress),
	}}
	if cfg.Certificate != nil {
		l.secure = cfg.Certificate.config()
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

// track adds a connection; nil: a limit is reached, and it was closed.
func (l *Listener) track(conn net.Conn) *connection {
	c := &connection{Conn: conn, socket: conn, client: l.clientOf(conn)}
	c.idle.Store(time.Now().UnixNano()) // until its first byte
	if l.secure != nil {
		c.Conn = tls.Server(conn, l.secure)
	}
	switch l.open.add(c) {
	case share.Granted:
		if !c.spareUntil.IsZero() {
			l.warn("the connection limit is reached, new connections get 503", "connections", l.cfg.MaxConnections)
		}
		return c
	case share.OwnUsedUp:
		l.warn("one address has as many connections as it may, closing its new ones: if it is a proxy, name it by --trusted-proxy",
			"address", c.client.String(), "connections", l.cfg.PerAddress)
	default:
		l.warn("the connection limit is reached, closing new connections", "connections", l.cfg.MaxConnections)
	}
	_ = conn.Close()
	return nil
}

// clientOf returns the address that counts for a connection: of IPv6 the first of its
// network of 64 bits. The zero address has no bound of its own.
func (l *Listener) clientOf(conn net.Conn) netip.Addr {
	tcp, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	address := tcp.AddrPort().Addr().Unmap().WithZone("")
	for _, network := range l.cfg.Exempt {
		if network.Contains(address) {
			return netip.Addr{}
		}
	}
	if address.Is6() {
		if network, err := address.Prefix(64); err == nil {
			return network.Addr()
		}
	}
	return address
}

// warn logs at most once a minute.
func (l *Listener) warn(message string, args ...any) {
	if now := time.Now(); now.Sub(l.logged) > time.Minute {
		l.logged = now
		l.cfg.Log.Warn(message, args...) //nolint:sloglint // the messages of its callers are constant
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
