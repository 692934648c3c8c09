package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gobwas/ws"

	"github.com/oskadev/mailroom/internal/outbox"
)

// SocketRequest is the request that is sent over one WebSocket again and again.
type SocketRequest struct {
	// URL is that of the socket, ws:// or wss://. Required.
	URL string
	// Headers are the headers of the handshake, each as "Name: value". Defaults to none.
	Headers []string
	// Service and Action are called. Required.
	Service, Action string
	// Args are the arguments, a JSON array. Defaults to none.
	Args string
	// Timeout limits the time to an answer. Defaults to 10 s.
	Timeout time.Duration
}

// socketTarget calls an action over one WebSocket, which all connections share.
type socketTarget struct {
	name    string
	frame   string // after the id
	timeout time.Duration
	conn    net.Conn
	out     *outbox.Outbox

	mu      sync.Mutex
	last    uint64
	waiting map[uint64]chan Answer
	err     error
}

// NewSocket opens the socket and returns a Target, with a function that closes the socket.
func NewSocket(ctx context.Context, r SocketRequest) (Target, func(), error) {
	u, err := url.Parse(r.URL)
	if err != nil || u.Scheme != "ws" && u.Scheme != "wss" || u.Hostname() == "" {
		return nil, nil, fmt.Errorf("URL %q: want ws://HOST:PORT/socket", r.URL)
	}
	headers := make(http.Header)
	for _, header := range r.Headers {
		name, value, ok := strings.Cut(header, ":")
		if !ok || !isToken(name) {
			return nil, nil, fmt.Errorf("--header %q: want Name: value", name)
		}
		headers.Set(name, strings.TrimSpace(value))
	}
	if r.Timeout == 0 {
		r.Timeout = DefaultTimeout
	}
	if r.Args == "" {
		r.Args = "[]"
	}
	call, err := json.Marshal(map[string]any{"service": r.Service, "request": r.Action, "args": json.RawMessage(r.Args)})
	if err != nil {
		return nil, nil, fmt.Errorf("arguments: %w", err)
	}
	dialer := ws.Dialer{Protocols: []string{"mailroom.v1"}, Header: ws.HandshakeHeaderHTTP(headers), Timeout: r.Timeout}
	conn, early, _, err := dialer.Dial(ctx, r.URL)
	if err != nil {
		return nil, nil, fmt.Errorf("open the socket: %w", err)
	}
	if early == nil {
		early = bufio.NewReader(conn)
	}
	t := &socketTarget{
		name: r.Service + " " + r.Action + " over one socket", frame: "," + string(call[1:]), timeout: r.Timeout,
		conn: conn, waiting: make(map[uint64]chan Answer),
	}
	const unsent = 64 << 20
	t.out = outbox.New(unsent, t.send, t.fail)
	var reading sync.WaitGroup
	reading.Go(func() { t.fail(t.read(bufio.NewReaderSize(early, 64<<10))) })
	return t, func() {
		_ = conn.Close()
		reading.Wait()
		t.out.Wait()
	}, nil
}

func (t *socketTarget) String() string { return t.name }

// Connect returns a connection that uses the shared socket.
func (t *socketTarget) Connect() Connection { return socketConnection{t} }

// send writes frames, each ended by a line break, as masked messages in one write.
func (t *socketTarget) send(lines []byte) error {
	out := make([]byte, 0, len(lines)+len(lines)/8)
	mask := [4]byte{0x5a, 0x17, 0xc3, 0x88} // a measurement needs no unpredictable masks
	for len(lines) > 0 {
		end := bytes.IndexByte(lines, '\n')
		out = append(out, 0x81)
		if end < 126 {
			out = append(out, 0x80|byte(end)) //nolint:gosec // it fits
		} else {
			out = binary.BigEndian.AppendUint64(append(out, 0xff), uint64(end))
		}
		out = append(append(out, mask[:]...), lines[:end]...)
		ws.Cipher(out[len(out)-end:], mask, 0)
		lines = lines[end+1:]
	}
	_, err := t.conn.Write(out)
	return err
}

var errClosed = errors.New("the gateway closed the socket")

// read passes answers on until the socket ends.
func (t *socketTarget) read(in *bufio.Reader) error {
	var payload []byte
	for {
		h, err := ws.ReadHeader(in)
		if err != nil {
			return err
		}
		if h.Length > maxBody {
			return fmt.Errorf("a message of %d bytes", h.Length)
		}
		payload = append(payload[:0], make([]byte, h.Length)...)
		if _, err := io.ReadFull(in, payload); err != nil {
			return err
		}
		switch h.OpCode { //nolint:exhaustive // the gateway sends no others
		case ws.OpClose:
			return errClosed
		case ws.OpPing:
			if _, err := t.conn.Write(ws.MustCompileFrame(ws.MaskFrame(ws.NewPongFrame(payload)))); err != nil {
				return err
			}
		case ws.OpText:
			t.answer(payload)
		}
	}
}

// answer passes an answer to its connection. The gateway writes the id first.
func (t *socketTarget) answer(message []byte) {
	rest, found := bytes.CutPrefix(message, []byte(`{"id":`))
	text, rest, _ := bytes.Cut(rest, []byte(","))
	id, err := strconv.ParseUint(string(text), 10, 64)
	if !found || err != nil {
		return // hello
	}
	answer := Answer{Bytes: len(message)}
	if !bytes.HasPrefix(rest, []byte(`"ok":true`)) {
		answer.Failure, answer.Detail = failureIn("{" + string(rest))
	}
	t.mu.Lock()
	waiting := t.waiting[id]
	delete(t.waiting, id)
	t.mu.Unlock()
	if waiting != nil {
		waiting <- answer
	}
}

// fail ends all requests.
func (t *socketTarget) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil {
		t.err = err
	}
	for id, waiting := range t.waiting {
		waiting <- Answer{Failure: "connection lost", Detail: t.err.Error(), Unreached: true}
		delete(t.waiting, id)
	}
}

type socketConnection struct{ *socketTarget }

// Do sends the request and waits for its answer.
func (c socketConnection) Do(ctx context.Context) Answer {
	waiting := make(chan Answer, 1)
	c.mu.Lock()
	if c.err != nil {
		defer c.mu.Unlock()
		return Answer{Failure: "connection lost", Detail: c.err.Error(), Unreached: true}
	}
	c.last++
	id := c.last
	c.waiting[id] = waiting
	c.mu.Unlock()
	c.out.Add(func(dst []byte) []byte {
		return append(strconv.AppendUint(append(dst, `{"id":`...), id, 10), c.frame...)
	})
	timeout := time.NewTimer(c.timeout)
	defer timeout.Stop()
	select {
	case answer := <-waiting:
		return answer
	case <-timeout.C:
		return Answer{Failure: "timeout", Detail: fmt.Sprintf("no answer within %v", c.timeout)}
	case <-ctx.Done():
		return Answer{}
	}
}

// Close does nothing: the socket is shared.
func (socketConnection) Close() {}
