package socket

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// readBuffer is the size of the buffer of an open socket, in bytes: an idle one costs
// little, and many small messages come with one read.
const readBuffer = 4 << 10

// closeError ends a socket because of a message that breaks RFC 6455 or the limits.
type closeError struct {
	code   ws.StatusCode
	reason string
}

func (e *closeError) Error() string { return fmt.Sprintf("%s (close code %d)", e.reason, e.code) }

// conn is a WebSocket that carries text messages. It is a host.Conn.
type conn struct {
	raw   net.Conn
	in    *bufio.Reader
	limit int    // bytes of a message that is received
	next  []byte // a message that was read ahead; nil: none
	text  []byte // the present message
	head  [ws.MaxHeaderSize]byte

	heard  atomic.Int64 // time of the last frame, unix ns
	pings  *time.Timer
	every  time.Duration // between two pings
	failed *closeError   // why Receive ended; read by Close behind it

	mu      sync.Mutex // held while it writes
	out     []byte
	closing bool // the close frame was written
	closed  sync.Once
}

func newConn(raw net.Conn, limit int, pings time.Duration) *conn {
	c := &conn{raw: raw, in: bufio.NewReaderSize(raw, readBuffer), limit: limit, every: pings}
	c.heard.Store(time.Now().UnixNano())
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pings = time.AfterFunc(pings, c.ping)
	return c
}

// Receive returns the next text message. It answers pings and close frames.
func (c *conn) Receive() ([]byte, error) {
	if next := c.next; next != nil {
		c.next = nil
		return next, nil
	}
	text, err := c.receive()
	failed, ok := errors.AsType[*closeError](err)
	if ok {
		c.mu.Lock()
		c.failed = failed
		c.mu.Unlock()
	}
	return text, err
}

func (c *conn) receive() ([]byte, error) {
	c.text = c.text[:0]
	if cap(c.text) > 64<<10 {
		c.text = nil // an idle socket costs little
	}
	state := ws.StateServerSide
	for {
		h, err := ws.ReadHeaderBuffer(c.in, c.head[:])
		if err != nil {
			return nil, readError(err)
		}
		c.heard.Store(time.Now().UnixNano())
		if err := ws.CheckHeader(h, state); err != nil {
			return nil, &closeError{ws.StatusProtocolError, err.Error()}
		}
		switch {
		case h.OpCode.IsControl():
			if err := c.control(h); err != nil {
				return nil, err
			}
			continue
		case h.OpCode == ws.OpBinary:
			return nil, &closeError{ws.StatusUnsupportedData, "a frame is a text message"}
		case h.Length > int64(c.limit-len(c.text)):
			return nil, &closeError{ws.StatusMessageTooBig, fmt.Sprintf("a message is longer than %d bytes", c.limit)}
		}
		if c.text, err = c.payload(c.text, h); err != nil {
			return nil, err
		}

		if h.Fin {
			break
		}
		state = state.Set(ws.StateFragmented)
	}
	if !utf8.Valid(c.text) {
		return nil, &closeError{ws.StatusInvalidFramePayloadData, "a message is not UTF-8"}
	}
	return c.text, nil
}

// payload appends the payload of a frame.
func (c *conn) payload(dst []byte, h ws.Header) ([]byte, error) {
	start, end := len(dst), len(dst)+int(h.Length)
	for len(dst) < end { // a long payload takes memory as it comes
		step := min(end-len(dst), 64<<10)
		dst = append(dst, make([]byte, step)...)
		if _, err := io.ReadFull(c.in, dst[len(dst)-step:]); err != nil {
			return dst, readError(err)
		}
	}
	ws.Cipher(dst[start:], h.Mask, 0)
	return dst, nil
}

// control handles a control frame.
func (c *conn) control(h ws.Header) error {
	payload, err := c.payload(nil, h)
	if err != nil {
		return err
	}
	switch h.OpCode {
	case ws.OpPing:
		return c.write(ws.OpPong, payload)
	case ws.OpClose:
		code := ws.StatusNormalClosure
		if len(payload) > 0 {
			var reason string
			code, reason = ws.ParseCloseFrameData(payload)
			if err := ws.CheckCloseFrameData(code, reason); err != nil || len(payload) == 1 {
				return &closeError{ws.StatusProtocolError, "a close frame is not valid"}
			}
		}
		c.writeClose(code, "")
		return io.EOF
	default:
		return nil // a pong
	}
}

// readError returns the error of a read: a connection that was cut is a closed one.
func readError(err error) error {
	switch {
	case errors.Is(err, ws.ErrHeaderLengthMSB), errors.Is(err, ws.ErrHeaderLengthUnexpected):
		return &closeError{ws.StatusProtocolError, err.Error()}
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return io.EOF
	default:
		return err
	}
}
