package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"

	"github.com/gobwas/ws"

	"github.com/oskadev/mailroom/internal/frames"
)

// subprotocol is that of frames on WebSockets.
const subprotocol = "mailroom.v1"

// relay passes WebSockets on to a gateway and records their frames.
type relay struct {
	listener net.Listener
	gateway  string
	record   func(sent bool, text string)

	mu    sync.Mutex
	open  map[*relayed]struct{}
	last  *relayed
	ended bool
	group sync.WaitGroup
}

// relayed is one connection of a relay.
type relayed struct {
	worker, gateway net.Conn

	mu sync.Mutex // held while it writes to the worker
}

// startRelay starts a relay before the gateway at an address.
func startRelay(gateway string, record func(sent bool, text string)) (*relay, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it does not block
	if err != nil {
		return nil, err
	}
	r := &relay{listener: listener, gateway: gateway, record: record, open: make(map[*relayed]struct{})}
	r.group.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			r.group.Go(func() { r.serve(conn) })
		}
	})
	return r, nil
}

func (r *relay) url() string { return "http://" + r.listener.Addr().String() }

// close ends the relay and its connections.
func (r *relay) close() {
	r.mu.Lock()
	r.ended = true
	for c := range r.open {
		c.close()
	}
	r.mu.Unlock()
	_ = r.listener.Close()
	r.group.Wait()
}

// send sends a message to the worker, beside those of the gateway.
func (r *relay) send(message string) error {
	r.mu.Lock()
	c := r.last
	r.mu.Unlock()
	if c == nil {
		return errors.New("the worker has no connection")
	}
	r.record(false, message)
	return c.toWorker(ws.NewTextFrame([]byte(message)))
}

// serve serves one connection of a worker.
func (r *relay) serve(worker net.Conn) {
	c, in, err := r.connect(worker)
	if err != nil {
		_ = worker.Close()
		return
	}
	defer func() {
		c.close()
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.open, c)
	}()
	var back sync.WaitGroup
	back.Go(func() {
		defer c.close()
		r.pump(in, false, c.toWorker)
	})
	r.pump(c.worker, true, func(f ws.Frame) error { return ws.WriteFrame(c.gateway, ws.MaskFrameInPlace(f)) })
	c.close()
	back.Wait()
}

// connect opens a connection to the gateway with the credential of the worker.
func (r *relay) connect(worker net.Conn) (*relayed, io.Reader, error) {
	header := make(http.Header)
	upgrader := ws.Upgrader{
		Protocol: func(name []byte) bool { return string(name) == subprotocol },
		OnHeader: func(key, value []byte) error {
			if name := http.CanonicalHeaderKey(string(key)); name == "Authorization" || name == "X-Api-Key" {
				header.Set(name, string(value))
			}
			return nil
		},
	}
	if _, err := upgrader.Upgrade(worker); err != nil {
		return nil, nil, fmt.Errorf("the handshake of the worker: %w", err)
	}
	dialer := ws.Dialer{Protocols: []string{subprotocol}, Header: ws.HandshakeHeaderHTTP(header)}
	gateway, early, _, err := dialer.Dial(context.Background(), "ws://"+r.gateway+"/socket")
	if err != nil {
		return nil, nil, err
	}
	c := &relayed{worker: worker, gateway: gateway}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open[c], r.last = struct{}{}, c
	if r.ended {
		c.close()
	}
	if early != nil {
		return c, early, nil
	}
	return c, gateway, nil
}

func (c *relayed) close() {
	_ = c.worker.Close()
	_ = c.gateway.Close()
}

func (c *relayed) toWorker(f ws.Frame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return ws.WriteFrame(c.worker, f)
}

// pump passes on WebSocket frames until the connection ends, and records the messages.
func (r *relay) pump(in io.Reader, sent bool, write func(ws.Frame) error) {
	var message []byte
	for {
		f, err := readFrame(in)
		if err != nil {
			return
		}
		if f.Header.Masked {
			f = ws.UnmaskFrameInPlace(f)
		}
		if !f.Header.OpCode.IsControl() {
			message = append(message, f.Payload...)
			if f.Header.Fin {
				if !isAuth(message) {
					r.record(sent, string(message))
				}
				message = message[:0]
			}
		}
		if write(f) != nil {
			return
		}
	}
}

// readFrame reads one WebSocket frame.
func readFrame(in io.Reader) (f ws.Frame, err error) {
	if f.Header, err = ws.ReadHeader(in); err != nil {
		return f, err
	}
	if f.Header.Length > frames.MaxLine {
		return f, fmt.Errorf("a frame of %d bytes", f.Header.Length)
	}
	f.Payload = make([]byte, f.Header.Length)
	_, err = io.ReadFull(in, f.Payload)
	return f, err
}

// isAuth reports whether a message is an auth frame, which comes before those of the
// worker.
func isAuth(message []byte) bool {
	var frame map[string]json.RawMessage
	return json.Unmarshal(message, &frame) == nil && frame["auth"] != nil
}
