package host

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/client"
	"github.com/oskadev/mailroom/testsupport"
)

// manifest declares the service of the tests: safe and unsafe actions, with and without
// schemas.
const manifest = `{"service":"things","version":"1.2.3","actions":[
	{"name":"GET","routes":["GET /things/:id"],"args":[{"name":"id","schema":{"type":"integer"}}]},
	{"name":"SET","routes":["POST /things/:id"],"timeout_ms":5000,"invalidates":["thing:{0}"]},
	{"name":"SHORT","safe":true,"timeout_ms":200}]}`

// stage is a host on a Redis of its own, and a client that calls its services.
type stage struct {
	t      *testing.T
	host   *Host
	conn   *bus.Conn
	client *client.Client
	log    *testsupport.Logs
	stray  Stray // of the connections
	stop   context.CancelFunc
	ctx    context.Context //nolint:containedctx // it lasts as long as the test
	serves sync.WaitGroup
}

func newStage(t *testing.T, url string, change ...func(*Config)) *stage {
	t.Helper()
	log, logs := testsupport.Logger(t)
	conn, err := bus.Connect(url, bus.Options{Logger: log})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	cfg := Config{Conn: conn, Log: log, IdleLimit: 500 * time.Millisecond, DrainLimit: 500 * time.Millisecond}
	for _, f := range change {
		f(&cfg)
	}
	s := &stage{t: t, host: New(cfg), conn: conn, log: logs}
	s.ctx, s.stop = context.WithCancel(t.Context())
	s.client, err = client.New(t.Context(), client.Config{Redis: url, Logger: log})
	require.NoError(t, err)
	t.Cleanup(func() {
		s.stop()
		s.serves.Wait()
		s.host.Close()
		s.client.Close()
	})
	return s
}

// peer is the worker's end of a connection.
type peer struct {
	t      *testing.T
	conn   net.Conn
	lines  *bufio.Reader
	served chan error
}

// connect opens a connection to the host and sends frames on it.
func (s *stage) connect(frames ...string) *peer {
	s.t.Helper()
	ours, theirs := net.Pipe()
	p := &peer{t: s.t, conn: ours, lines: bufio.NewReader(ours), served: make(chan error, 1)}
	s.serves.Go(func() {
		p.served <- s.host.Serve(s.ctx, NewLines(theirs, theirs, func() { _ = theirs.Close() }), s.stray)
	})
	s.t.Cleanup(func() { _ = ours.Close() })
	for _, f := range frames {
		p.send(f)
	}
	return p
}

// serve opens a connection that serves a manifest.
func (s *stage) serve(concurrency string) *peer {
	s.t.Helper()
	p := s.connect(`{"serve":` + compact(s.t, manifest) + `,"concurrency":` + concurrency + `}`)
	p.expect("serving")
	return p
}

func compact(t *testing.T, text string) string {
	t.Helper()
	var v any
	require.NoError(t, json.Unmarshal([]byte(text), &v))
	b, err := json.Marshal(v)
	require.NoError(t, err)
	return string(b)
}

func (p *peer) send(frame string) {
	_ = p.conn.SetWriteDeadline(time.Now().Add(10 * time.Second))
	_, err := p.conn.Write([]byte(frame + "\n"))
	assert.NoError(p.t, err)
}

// expect reads the next frame, which has to have this member.
func (p *peer) expect(member string) map[string]any {
	p.t.Helper()
	frame := p.next()
	require.Contains(p.t, frame, member)
	return frame
}

func (p *peer) next() map[string]any {
	p.t.Helper()
	_ = p.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	line, err := p.lines.ReadBytes('\n')
	require.NoError(p.t, err)
	var frame map[string]any
	require.NoError(p.t, json.Unmarshal(line, &frame), "%s", line)
	return frame
}

// answer reads the next run and answers it; RUN stands for its name.
func (p *peer) answer(frame string) map[string]any {
	p.t.Helper()
	run := p.expect("run")
	p.send(`{"run":"` + run["run"].(string) + `",` + frame + `}`)
	return run
}

// result is the outcome of a call.
type result struct {
	value json.RawMessage
	err   error
}

// call calls an action on another goroutine.
func (s *stage) call(action string, args ...any) <-chan result {
	done := make(chan result, 1)
	go func() {
		v, err := client.Call[json.RawMessage](s.t.Context(), s.client, "things", action, args...)
		done <- result{v, err}
	}()
	return done
}

// code returns the code of a failed call.
func (r result) code() client.Code { return client.CodeOf(r.err) }
