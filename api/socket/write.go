package socket

import (
	"bytes"
	"encoding/binary"
	"time"

	"github.com/gobwas/ws"

	"github.com/oskadev/mailroom/internal/frames"
)

const (
	writeTimeout = 10 * time.Second // of one write
	closeTimeout = time.Second      // for the peer to answer a close frame
)

// Send sends messages, each ended by a line break, in one write.
func (c *conn) Send(lines []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = c.out[:0]
	for len(lines) > 0 {
		end := bytes.IndexByte(lines, '\n')
		c.out = appendHeader(c.out, ws.OpText, end)
		c.out = append(c.out, lines[:end]...)
		lines = lines[end+1:]
	}
	err := c.flush()
	if cap(c.out) > 64<<10 {
		c.out = nil
	}
	return err
}

// flush writes what was appended. Its caller holds the lock.
func (c *conn) flush() error {
	if c.closing {
		return nil
	}
	_ = c.raw.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, err := c.raw.Write(c.out)
	return err
}

// write writes one control frame.
func (c *conn) write(op ws.OpCode, payload []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = append(appendHeader(c.out[:0], op, len(payload)), payload...)
	return c.flush()
}

// appendHeader appends the header of an unmasked frame (RFC 6455, section 5.2).
func appendHeader(dst []byte, op ws.OpCode, length int) []byte {
	dst = append(dst, 0x80|byte(op))
	switch {
	case length < 126:
		return append(dst, byte(length)) //nolint:gosec // it fits
	case length <= 0xffff:
		return binary.BigEndian.AppendUint16(append(dst, 126), uint16(length))
	default:
		return binary.BigEndian.AppendUint64(append(dst, 127), uint64(length))
	}
}

// ping pings the peer, and closes a connection that was silent for two pings and a half.
func (c *conn) ping() {
	if time.Since(time.Unix(0, c.heard.Load())) > c.every*5/2 || c.write(ws.OpPing, nil) != nil {
		_ = c.raw.Close()
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closing {
		c.pings.Reset(c.every)
	}
}

// writeClose writes the close frame; only the first counts.
func (c *conn) writeClose(code ws.StatusCode, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return
	}
	c.pings.Stop()
	payload := ws.NewCloseFrameBody(code, reason[:min(len(reason), ws.MaxControlFramePayloadSize-2)])
	c.out = append(appendHeader(c.out[:0], ws.OpClose, len(payload)), payload...)
	_ = c.raw.SetWriteDeadline(time.Now().Add(closeTimeout))
	_, _ = c.raw.Write(c.out) // the peer may be gone
	c.closing = true
}

// Close closes the socket with the code of a reason, or with that of the message which
// ended it. The connection ends when the peer has answered, and after a second.
func (c *conn) Close(bye *frames.Bye) {
	c.closed.Do(func() {
		code, reason := ws.StatusNormalClosure, ""
		c.mu.Lock()
		failed := c.failed
		c.mu.Unlock()
		switch {
		case failed != nil:
			code, reason = failed.code, failed.reason
		case bye != nil:
			code, reason = ws.StatusCode(bye.Reason.CloseCode()), string(bye.Reason) //nolint:gosec // a code of the protocol
		}
		c.writeClose(code, reason)
		time.AfterFunc(closeTimeout, func() { _ = c.raw.Close() })
	})
}
