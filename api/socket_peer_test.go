package api_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/api/socket"
)

// peer is the client's end of a socket.
type peer struct {
	t    *testing.T
	conn net.Conn
	in   io.Reader
}

// openSocket opens a socket with headers, each "Name: value".
func (s *stage) openSocket(headers ...string) *peer {
	s.t.Helper()
	p, err := s.tryOpen(headers...)
	require.NoError(s.t, err)
	return p
}

func (s *stage) tryOpen(headers ...string) (*peer, error) {
	h := make(http.Header)
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		h.Add(name, value)
	}
	dialer := ws.Dialer{Protocols: []string{socket.Protocol}, Header: ws.HandshakeHeaderHTTP(h), Timeout: patience}
	conn, early, _, err := dialer.Dial(s.ctx, "ws://"+s.addr+"/socket")
	if err != nil {
		return nil, err
	}
	p := &peer{t: s.t, conn: conn, in: conn}
	if early != nil {
		p.in = early
	} else {
		p.in = bufio.NewReader(conn)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	return p, nil
}

// socket opens a socket and reads its hello.
func (s *stage) socket(headers ...string) *peer {
	s.t.Helper()
	p := s.openSocket(headers...)
	p.expect("hello")
	return p
}

func (p *peer) send(frame string) {
	p.t.Helper()
	require.NoError(p.t, wsutil.WriteClientText(p.conn, []byte(frame)))
}

// next returns the next text message; nil: the socket was closed, with that code.
func (p *peer) next() (map[string]any, ws.StatusCode) {
	p.t.Helper()
	_ = p.conn.SetReadDeadline(time.Now().Add(patience))
	for {
		h, err := ws.ReadHeader(p.in)
		require.NoError(p.t, err)
		payload := make([]byte, h.Length)
		_, err = io.ReadFull(p.in, payload)
		require.NoError(p.t, err)
		switch h.OpCode { //nolint:exhaustive // others are not for the test
		case ws.OpText:
			var frame map[string]any
			require.NoError(p.t, json.Unmarshal(payload, &frame), "%s", payload)
			return frame, 0
		case ws.OpPing:
			require.NoError(p.t, ws.WriteFrame(p.conn, ws.MaskFrame(ws.NewPongFrame(payload))))
		case ws.OpClose:
			code, _ := ws.ParseCloseFrameData(payload)
			_ = ws.WriteFrame(p.conn, ws.MaskFrame(ws.NewCloseFrame(payload)))
			return nil, code
		}
	}
}

// expect reads the next frame, which has to have this member.
func (p *peer) expect(member string) map[string]any {
	p.t.Helper()
	frame, code := p.next()
	require.Contains(p.t, frame, member, "close code %d", code)
	return frame
}

// closed reads bye and the close frame.
func (p *peer) closed(reason string, code int) map[string]any {
	p.t.Helper()
	bye, _ := p.expect("bye")["bye"].(map[string]any)
	assert.Equal(p.t, reason, bye["reason"])
	frame, closed := p.next()
	require.Nil(p.t, frame)
	assert.EqualValues(p.t, code, closed)
	return bye
}

// ask sends a frame and reads its answer.
func (p *peer) ask(frame string) map[string]any {
	p.t.Helper()
	p.send(frame)
	return p.expect("ok")
}

// code returns the error code of an answer.
func code(answer map[string]any) any {
	e, _ := answer["error"].(map[string]any)
	return e["code"]
}
