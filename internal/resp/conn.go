package resp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// ErrNotConnected reports that nothing was sent: the connection was lost before.
var ErrNotConnected = errors.New("not connected to Redis")

// Conn is one connection to Redis, used by one goroutine.
type Conn struct {
	// Out holds the commands to send next.
	Out Commands
	// Limits bound the answers. Defaults to no bounds but those of the protocol.
	Limits Limits

	server server
	conn   net.Conn  // nil: not connected
	held   io.Closer // closes conn

	input
	answers []string
	err     error // of the last exchange

	used      time.Time
	stale     bool                            // connect again: its server is not a master any more
	deadlines struct{ read, write time.Time } // that are set
}

// input is what was read from a connection.
type input struct {
	in      []byte
	from    int   // the start of what is not taken yet, in in
	ends    []int // of answers, in in
	dropped int   // strings over the limit
}

// Answers returns the answers of the last exchange, in the order of the commands,
// or why there are none. They are valid until the next exchange; their text stays.
func (c *Conn) Answers() ([]string, error) { return c.answers, c.err }

// checkAfter is how long a connection may be unused before it is checked: the
// server, or something between, may have closed it.
const checkAfter = 5 * time.Millisecond

// open connects, unless the connection is open. After an error nothing was sent.
func (c *Conn) open(ctx context.Context) error {
	if c.conn != nil && (c.stale || time.Since(c.used) > checkAfter && c.closed()) {
		c.Drop()
	}
	if c.conn != nil {
		return nil
	}
	conn, held, err := c.server.connect(ctx)
	if err != nil {
		return err
	}
	c.held, c.conn, c.used, c.stale = held, conn, time.Now(), false
	c.in, c.from = c.in[:0], 0
	c.deadlines.read, c.deadlines.write = time.Time{}, time.Time{}
	return nil
}

// closed reports that the other side has closed the connection.
func (c *Conn) closed() bool {
	c.deadlines.read = time.Time{} // a deadline that has passed would look the same
	return c.conn.SetReadDeadline(c.deadlines.read) != nil || isClosed(c.conn)
}

// Drop closes the connection: the next bytes on it are unknown. The next use
// connects again.
func (c *Conn) Drop() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
	if c.held != nil {
		_ = c.held.Close()
		c.held = nil
	}
}

func (c *Conn) close() {
	c.Drop()
	_ = c.server.Close()
}

// Net returns the network connection; nil: not connected. Writing to it and
// closing it are safe while another goroutine receives.
func (c *Conn) Net() net.Conn { return c.conn }

// setDeadline sets a deadline, but not for each exchange: it may be an eighth late.
func setDeadline(end *time.Time, now time.Time, timeout time.Duration, set func(time.Time) error) error {
	slack := timeout / 8
	if early := end.Sub(now) - timeout; early >= 0 && early <= slack {
		return nil
	}
	*end = now.Add(timeout + slack)
	return set(*end)
}

// Send writes the commands in Out, which stay there.
func (c *Conn) Send(timeout time.Duration) error {
	if c.conn == nil { // it was lost while Out was written
		return ErrNotConnected
	}
	c.used = time.Now()
	err := setDeadline(&c.deadlines.write, c.used, timeout, c.conn.SetWriteDeadline)
	if err == nil {
		_, err = c.conn.Write(c.Out.buf)
	}
	if err != nil {
		c.Drop()
	}
	return err
}

// Receive waits for n answers and returns each as it came: see Reader. They are
// valid until the next call; their text stays.
func (c *Conn) Receive(n int, timeout time.Duration) ([]string, error) {
	err := setDeadline(&c.deadlines.read, time.Now(), timeout, c.conn.SetReadDeadline)
	c.ends = c.ends[:0]
	for at := 0; err == nil && len(c.ends) < n; {
		at, err = c.answer(at)
		c.ends = append(c.ends, at)
	}
	c.used = time.Now()
	if err != nil {
		c.Drop()
		return nil, err
	}
	text, begin := string(c.in[c.from:c.from+c.ends[n-1]]), 0
	c.answers = c.answers[:0]
	for _, end := range c.ends {
		c.answers = append(c.answers, text[begin:end])
		c.stale = c.stale || strings.HasPrefix(text[begin:end], "-READONLY ")
		begin = end
	}
	if c.from += len(text); c.from == len(c.in) {
		if c.in, c.from = c.in[:0], 0; cap(c.in) > maxKept {
			c.in = nil
		}
	}
	return c.answers, nil
}

// minRead is the least space, in bytes, for one read.
const minRead = 4 << 10

// fill reads more. Where there is no space, taken bytes are thrown away first, so
// that each byte is moved a few times at most; a buffer that a long answer has
// left is given back.
func (c *Conn) fill() error {
	if cap(c.in)-len(c.in) < minRead {
		rest := c.in[c.from:]
		if size := 2*len(rest) + 2*minRead; size > cap(c.in) || size < maxKept && maxKept < cap(c.in) {
			c.in = append(make([]byte, 0, size), rest...)
		} else {
			c.in = c.in[:copy(c.in, rest)]
		}
		c.from = 0
	}
	n, err := c.conn.Read(c.in[len(c.in):cap(c.in)])
	c.in = c.in[:len(c.in)+n]
	switch {
	case n > 0:
		return nil
	case err == nil:
		return io.ErrNoProgress
	default:
		return fmt.Errorf("read from Redis: %w", err)
	}
}

// Do sends commands apart from an exchange, whose answers stay valid, and returns
// the answer to the last of them.
func (c *Conn) Do(timeout time.Duration, write func(*Commands)) (string, error) {
	answers := c.answers
	c.answers = nil
	defer func() { c.answers = answers }()
	write(&c.Out)
	sent := c.Out.Len()
	err := c.Send(timeout)
	c.Out.Reset()
	if err != nil {
		return "", err
	}
	received, err := c.Receive(sent, timeout)
	if err != nil {
		return "", err
	}
	return received[sent-1], nil
}
