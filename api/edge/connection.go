package edge

import (
	"io"
	"net"
	"net/netip"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// connection is an open connection of a client.
type connection struct {
	net.Conn
	socket net.Conn   // beneath TLS; without TLS the same
	client netip.Addr // that it counts for
	// spareUntil is the end of a connection above the limit, which may only ask for probes;
	// zero: the connection is within the limit.
	spareUntil time.Time
	idle       atomic.Int64 // unix ns of the last answer, until the first byte of the next request; else 0
	read       deadline
	write      deadline
	refused    atomic.Bool // it ends while its client may still be sending
	// taken is set when the HTTP library has given the connection away, as a WebSocket:
	// it is open until it is closed.
	taken atomic.Pointer[connections]
	// raw is set when the connection is a WebSocket: its bytes are no HTTP messages.
	raw     atomic.Bool
	framing framing // of the reader alone
}

// deadline defers setting a deadline until it is needed, and skips it where the one
// that is set is close enough: the HTTP library sets three for each request, and each
// would cost the runtime a timer.
type deadline struct {
	wanted atomic.Int64 // unix ns; 0: none
	set    atomic.Int64
	slack  atomic.Int64 // ns, of the one that is set
}

// maxSlack is how much earlier than wanted a deadline may pass. A short one may pass
// a tenth of its time earlier.
const maxSlack = int64(time.Second)

func (d *deadline) want(t time.Time) {
	if t.IsZero() {
		d.wanted.Store(0)
		return
	}
	d.wanted.Store(t.UnixNano())
}

// need sets the wanted deadline unless the one that is set is close enough.
func (d *deadline) need(set func(time.Time) error) error {
	wanted, now := d.wanted.Load(), d.set.Load()
	switch {
	case wanted == now:
		return nil
	case now != 0 && now < wanted && wanted-now < d.slack.Load():
		return nil
	case wanted == 0:
		d.set.Store(0)
		return set(time.Time{})
	}
	d.set.Store(wanted)
	d.slack.Store(min(maxSlack, (wanted-time.Now().UnixNano())/10))
	return set(time.Unix(0, wanted))
}

// SetReadDeadline sets the deadline of the next Read.
func (c *connection) SetReadDeadline(t time.Time) error {
	c.read.want(c.within(t))
	return nil
}

// SetWriteDeadline sets the deadline of the next Write.
func (c *connection) SetWriteDeadline(t time.Time) error {
	c.write.want(c.within(t))
	return nil
}

// SetDeadline sets both deadlines.
func (c *connection) SetDeadline(t time.Time) error {
	c.read.want(c.within(t))
	c.write.want(c.within(t))
	return nil
}

// within returns a deadline that is not behind the end of a spare connection.
func (c *connection) within(t time.Time) time.Time {
	if c.spareUntil.IsZero() || !t.IsZero() && t.Before(c.spareUntil) {
		return t
	}
	return c.spareUntil
}

// Read reads messages of a form that is not refused; see framing.
func (c *connection) Read(p []byte) (int, error) {
	for c.framing.fault == "" {
		n, err := c.receive(p)
		if n == 0 || c.raw.Load() {
			return n, err
		}
		if n = c.framing.pass(p[:n]); n > 0 || err != nil {
			return n, err
		}
	}
	return 0, errFraming
}

// receive reads, and marks the connection as active with its first byte.
func (c *connection) receive(p []byte) (int, error) {
	if held := c.framing.held; len(held) > 0 {
		n := copy(p, held)
		c.framing.held, c.framing.upgrade = held[n:], false
		return n, nil
	}
	c.framing.upgrade = false
	if err := c.read.need(c.Conn.SetReadDeadline); err != nil {
		return 0, err
	}
	// A client that was just answered sends its next request soon. Other goroutines run
	// first, so that one read finds it, instead of an empty read, a wait and a second read.
	runtime.Gosched()
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.idle.Store(0)
	}
	return n, err
}

// Write writes, within the wanted deadline.
func (c *connection) Write(p []byte) (int, error) {
	if err := c.write.need(c.Conn.SetWriteDeadline); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// Bounds on the rest of a refused request that is read and dropped.
const (
	lingerTime  = time.Second
	lingerBytes = 4 << 20
)

// refuseRest marks the connection of a request that was refused before all of it was read.
func refuseRest(ctx *fasthttp.RequestCtx) {
	if c, ok := ctx.Conn().(*connection); ok {
		c.refused.Store(true)
	}
}

// takeOver marks the connection of a request that has become a WebSocket.
func takeOver(ctx *fasthttp.RequestCtx) {
	if c, ok := ctx.Conn().(*connection); ok {
		c.raw.Store(true)
	}
}

// isSpare reports whether the connection of a request is above the limit.
func isSpare(ctx *fasthttp.RequestCtx) bool {
	c, ok := ctx.Conn().(*connection)
	return ok && !c.spareUntil.IsZero()
}

// faultOf returns why the form of a message is refused; empty: it is not.
func faultOf(ctx *fasthttp.RequestCtx) string {
	if c, ok := ctx.Conn().(*connection); ok {
		return c.framing.fault
	}
	return ""
}

// Close closes the connection. After a refusal it first reads and drops what the client
// still sends, for a bounded time: closing a socket with unread bytes resets the
// connection, and the client would lose the answer (RFC 9112, section 9.6).
func (c *connection) Close() error {
	if t := c.taken.Swap(nil); t != nil {
		t.remove(c)
	}
	if half, ok := c.socket.(interface{ CloseWrite() error }); ok && c.refused.Swap(false) && half.CloseWrite() == nil {
		_ = c.socket.SetReadDeadline(time.Now().Add(lingerTime))
		_, _ = io.CopyN(io.Discard, c.socket, lingerBytes)
	}
	return c.Conn.Close()
}
