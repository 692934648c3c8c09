package socket

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/internal/frames"
)

const testLimit = 1000

// talk sends bytes on a connection, and returns the messages that it received and what
// it answered, up to its close frame.
func talk(t *testing.T, sent []byte) (messages []string, answered []ws.Frame) {
	t.Helper()
	ours, theirs := net.Pipe()
	c := newConn(theirs, testLimit, time.Minute)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			message, err := c.Receive()
			if err != nil {
				break
			}
			messages = append(messages, string(message))
		}
		c.Close(nil)
		_ = theirs.Close()
	}()
	go func() {
		_, _ = ours.Write(sent)
		_, _ = ours.Write(masked(ws.NewCloseFrame(nil)))
	}()
	_ = ours.SetReadDeadline(time.Now().Add(20 * time.Second))
	for {
		f, err := readFrame(ours)
		if err != nil {
			break
		}
		answered = append(answered, f)
	}
	_ = ours.Close()
	<-ended
	return messages, answered
}

func readFrame(in io.Reader) (ws.Frame, error) {
	h, err := ws.ReadHeader(in)
	f := ws.Frame{Header: h, Payload: make([]byte, h.Length)}
	if err == nil {
		_, err = io.ReadFull(in, f.Payload)
	}
	return f, err
}

func masked(f ws.Frame) []byte {
	f = ws.MaskFrame(f)
	return ws.MustCompileFrame(f)
}

func frame(op ws.OpCode, fin bool, payload string) []byte {
	return masked(ws.NewFrame(op, fin, []byte(payload)))
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func TestMessagesThatBreakTheProtocol(t *testing.T) {
	t.Parallel()
	rsv := ws.NewFrame(ws.OpText, true, []byte("{}"))
	rsv.Header.Rsv = 4
	for name, c := range map[string]struct {
		sent []byte
		code ws.StatusCode
	}{
		"unmasked":                       {ws.MustCompileFrame(ws.NewTextFrame([]byte("{}"))), 1002},
		"reserved bits":                  {masked(rsv), 1002},
		"reserved opcode":                {frame(0x3, true, ""), 1002},
		"a continuation of nothing":      {frame(ws.OpContinuation, true, "{}"), 1002},
		"a text inside a message":        {join(frame(ws.OpText, false, "{"), frame(ws.OpText, true, "}")), 1002},
		"a control frame in parts":       {frame(ws.OpPing, false, ""), 1002},
		"a control frame of 126 bytes":   {frame(ws.OpPing, true, strings.Repeat("a", 126)), 1002},
		"a close frame of one byte":      {frame(ws.OpClose, true, "a"), 1002},
		"a close frame with a bad code":  {frame(ws.OpClose, true, "\x03\xe7"), 1002},
		"a close reason that is no text": {frame(ws.OpClose, true, "\x03\xe8\xff"), 1002},
		"binary":                         {frame(ws.OpBinary, true, "{}"), 1003},
		"not UTF-8":                      {frame(ws.OpText, true, "{\"a\":\"\xff\"}"), 1007},
		"not UTF-8 in parts":             {join(frame(ws.OpText, false, "\xc3"), frame(ws.OpContinuation, true, "{")), 1007},
		"too long":                       {frame(ws.OpText, true, strings.Repeat("a", testLimit+1)), 1009},
		"too long in parts":              {join(frame(ws.OpText, false, strings.Repeat("a", testLimit)), frame(ws.OpContinuation, true, "a")), 1009},
		"a length beyond all limits":     {[]byte{0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}, 1009},
		"a negative length":              {[]byte{0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}, 1002},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			messages, answered := talk(t, c.sent)
			assert.Empty(t, messages)
			require.Len(t, answered, 1)
			require.Equal(t, ws.OpClose, answered[0].Header.OpCode)
			code, reason := ws.ParseCloseFrameData(answered[0].Payload)
			assert.Equal(t, c.code, code)
			assert.NotEmpty(t, reason)
		})
	}
}

func TestMessages(t *testing.T) {
	t.Parallel()
	longest := strings.Repeat("a", testLimit)
	messages, answered := talk(t, join(
		frame(ws.OpText, true, `{"id":1}`),
		frame(ws.OpText, false, "\"\xc3"), frame(ws.OpPing, true, "now"), frame(ws.OpContinuation, false, "\xb6"), frame(ws.OpContinuation, true, `"`),
		frame(ws.OpPong, true, "unasked"), frame(ws.OpText, true, ""), frame(ws.OpText, true, longest),
	))
	assert.Equal(t, []string{`{"id":1}`, `"ö"`, "", longest}, messages)
	require.Len(t, answered, 2)
	assert.Equal(t, ws.OpPong, answered[0].Header.OpCode)
	assert.Equal(t, "now", string(answered[0].Payload))
	assert.Equal(t, ws.OpClose, answered[1].Header.OpCode)
}

// Random bytes and damaged frames end the connection, and take no memory by their length.
func TestRandomFrames(t *testing.T) {
	t.Parallel()
	const seed = 16
	random := rand.New(rand.NewPCG(seed, seed))
	for range 10_000 {
		sent := frame(ws.OpCode(random.IntN(16)), random.IntN(3) > 0, strings.Repeat("é", random.IntN(80)))
		for range random.IntN(4) {
			sent[random.IntN(len(sent))] = byte(random.IntN(256))
		}
		c := newConn(silent{bytes.NewReader(sent)}, testLimit, time.Hour)
		for {
			if _, err := c.Receive(); err != nil {
				break
			}
		}
		c.pings.Stop()
	}
}

// silent is a connection that only reads.
type silent struct{ io.Reader }

func (silent) Write(p []byte) (int, error)      { return len(p), nil }
func (silent) Close() error                     { return nil }
func (silent) LocalAddr() net.Addr              { return nil }
func (silent) RemoteAddr() net.Addr             { return nil }
func (silent) SetDeadline(time.Time) error      { return nil }
func (silent) SetReadDeadline(time.Time) error  { return nil }
func (silent) SetWriteDeadline(time.Time) error { return nil }

func TestSendWritesOneMessageForEachLine(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	c := newConn(theirs, testLimit, time.Minute)
	long := strings.Repeat("b", 70_000)
	go func() {
		_ = c.Send([]byte("{}\n" + strings.Repeat("a", 200) + "\n" + long + "\n"))
		c.Close(&frames.Bye{Reason: frames.Slow})
		_ = c.Send([]byte("late\n"))
		_ = theirs.Close()
	}()
	for _, want := range []string{"{}", strings.Repeat("a", 200), long} {
		f, err := readFrame(ours)
		require.NoError(t, err)
		assert.Equal(t, want, string(f.Payload))
	}
	f, err := readFrame(ours)
	require.NoError(t, err)
	code, reason := ws.ParseCloseFrameData(f.Payload)
	assert.EqualValues(t, 4408, code)
	assert.Equal(t, "slow", reason)
	_, err = readFrame(ours)
	assert.ErrorIs(t, err, io.EOF)
}

func TestSilentPeersArePingedAndThenCutOff(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	c := newConn(theirs, testLimit, 200*time.Millisecond)
	ended := make(chan error, 1)
	go func() { _, err := c.Receive(); ended <- err }()
	f, err := readFrame(ours)
	require.NoError(t, err)
	assert.Equal(t, ws.OpPing, f.Header.OpCode)
	go func() { _, _ = io.Copy(io.Discard, ours) }()
	require.ErrorIs(t, <-ended, io.ErrClosedPipe)
}
