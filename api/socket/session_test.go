package socket

import (
	"context"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/api/exchange"
	"github.com/oskadev/mailroom/bus/wire"
)

// revocable accepts every credential until it is revoked.
type revocable struct{ revoked atomic.Bool }

func (r *revocable) Verify(context.Context, string) (*wire.Principal, *exchange.Failure) {
	if r.revoked.Load() {
		return nil, exchange.Fail(wire.CodeUnauthenticated, "the key is revoked")
	}
	return &wire.Principal{Subject: "key:a"}, nil
}

func (*revocable) Anonymous() *exchange.Failure {
	return exchange.Fail(wire.CodeUnauthenticated, "who calls?")
}

// open serves one end of a socket and returns the other.
func open(t *testing.T, cfg Config, h Handshake) net.Conn {
	t.Helper()
	cfg.Log = slog.New(slog.DiscardHandler)
	s := New(cfg)
	ours, theirs := net.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.serve(newConn(theirs, testLimit, time.Minute), h)
	}()
	t.Cleanup(func() {
		_ = ours.Close()
		<-ended
		s.drain()
	})
	_ = ours.SetDeadline(time.Now().Add(20 * time.Second))
	return ours
}

// expectClose reads frames up to a close frame, and returns the frames before it.
func expectClose(t *testing.T, conn net.Conn, code int) (frames []string) {
	t.Helper()
	for {
		f, err := readFrame(conn)
		require.NoError(t, err)
		if f.Header.OpCode == ws.OpClose {
			got, _ := ws.ParseCloseFrameData(f.Payload)
			assert.EqualValues(t, code, got)
			_, err = conn.Write(masked(ws.NewCloseFrame(f.Payload)))
			require.NoError(t, err)
			return frames
		}
		frames = append(frames, string(f.Payload))
	}
}

func TestIdleSocketsEndWithTheirCredential(t *testing.T) {
	t.Parallel()
	auth := &revocable{}
	conn := open(t, Config{Auth: auth, Recheck: 10 * time.Millisecond}, Handshake{
		Principal: &wire.Principal{Subject: "key:a"}, Credential: "mk_a", Authenticated: true,
	})
	f, err := readFrame(conn)
	require.NoError(t, err)
	assert.Contains(t, string(f.Payload), `"principal":"key:a"`)
	_, err = conn.Write(frame(ws.OpText, true, `{"ping":1}`))
	require.NoError(t, err)
	f, err = readFrame(conn)
	require.NoError(t, err)
	assert.JSONEq(t, `{"pong":true}`, string(f.Payload))
	auth.revoked.Store(true)
	assert.Equal(t, []string{`{"bye":{"reason":"unauthenticated","message":"the key is revoked"}}`}, expectClose(t, conn, 4401))
}

func TestPeersHaveToAuthenticateInTime(t *testing.T) {
	t.Parallel()
	conn := open(t, Config{Auth: &revocable{}, AuthLimit: 10 * time.Millisecond}, Handshake{})
	assert.Equal(t, []string{`{"bye":{"reason":"unauthenticated","message":"no auth frame within 10ms"}}`}, expectClose(t, conn, 4401))
}
