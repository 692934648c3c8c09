package edge

import (
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// connection is one that a client has open.
type connection struct {
	net.Conn
	socket  net.Conn     // beneath TLS, or the same
	idle    atomic.Int64 // unix ns since when, between an answer and the first byte of the next request; else 0
	read    deadline
	write   deadline
	refused atomic.Bool // it ends although its client may still be sending
}

// deadline is set when it is first needed, and not again when it is much the
// same: the HTTP library sets three for each request, and each would cost the
// runtime a timer.
type deadline struct {
	wanted atomic.Int64 // unix ns; 0: none
	set    atomic.Int64
	slack  atomic.Int64 // ns, of what is set
}

// slack is how much earlier than wanted a deadline may pass at most; of a short
// time it is a tenth.
const slack = int64(time.Second)

func (d *deadline) want(t time.Time) {
	if t.IsZero() {
		d.wanted.Store(0)
		return
	}
	d.wanted.Store(t.UnixNano())
}

// need sets the deadline where what is set would not do.
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
	d.slack.Store(min(slack, (wanted-time.Now().UnixNano())/10))
	return set(time.Unix(0, wanted))
}

// SetReadDeadline is for the next Read.
func (c *connection) SetReadDeadline(t time.Time) error {
	c.read.want(t)
	return nil
}

// SetWriteDeadline is for the next Write.
func (c *connection) SetWriteDeadline(t time.Time) error {
	c.write.want(t)
	return nil
}

// SetDeadline is both.
func (c *connection) SetDeadline(t time.Time) error {
	c.read.want(t)
	c.write.want(t)
	return nil
}

// Read ends the idle time before anybody else knows of it.
func (c *connection) Read(p []byte) (int, error) {
	if err := c.read.need(c.Conn.SetReadDeadline); err != nil {
		return 0, err
	}
	// Who has just been answered asks again soon: others go first, and one read
	// finds what it sends, instead of one that finds nothing, a wait and another.
	runtime.Gosched()
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.idle.Store(0)
	}
	return n, err
}

// Write writes.
func (c *connection) Write(p []byte) (int, error) {
	if err := c.write.need(c.Conn.SetWriteDeadline); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// How long, and for how much, a client that was refused may go on sending.
const (
	lingerTime  = time.Second
	lingerBytes = 4 << 20
)

// refuseRest marks the connection of a call that was refused before all of it was read.
func refuseRest(ctx *fasthttp.RequestCtx) {
	if c, ok := ctx.Conn().(*connection); ok {
		c.refused.Store(true)
	}
}

// Close closes. After a refusal what the client still sends is read first, for a
// moment, and thrown away: closing a socket with something unread in it resets
// the connection, and the client would lose the answer (RFC 9112, section 9.6).
func (c *connection) Close() error {
	if half, ok := c.socket.(interface{ CloseWrite() error }); ok && c.refused.Swap(false) && half.CloseWrite() == nil {
		_ = c.socket.SetReadDeadline(time.Now().Add(lingerTime))
		_, _ = io.CopyN(io.Discard, c.socket, lingerBytes)
	}
	return c.Conn.Close()
}
