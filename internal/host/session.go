package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/oskadev/mailroom/internal/frames"
	"github.com/oskadev/mailroom/internal/outbox"
	"github.com/oskadev/mailroom/workers"
)

// Stray takes a message that is no frame. Nil: such a message ends the connection.
type Stray func(message []byte)

// session is one connection of a worker.
type session struct {
	host  *Host
	conn  Conn
	out   *outbox.Outbox
	stray Stray

	declared    chan struct{} // closed when the four below are set
	declaration *workers.Service
	manifest    string
	capacity    int
	service     *service

	free int // slots; guarded by the mutex of the service

	ended chan struct{} // closed when err is set
	once  sync.Once
	err   error

	calls atomic.Int64 // of other services, unanswered

	mu       sync.Mutex
	runs     map[string]*run // unfinished
	last     uint64          // number of the last run
	draining bool            // the worker takes no more runs
}

// maxUnsent is how many bytes may wait for a worker that does not read.
const maxUnsent = 64 << 20

func newSession(h *Host, conn Conn, stray Stray) *session {
	s := &session{
		host: h, conn: conn, stray: stray,
		declared: make(chan struct{}), ended: make(chan struct{}), runs: make(map[string]*run),
	}
	s.out = outbox.New(maxUnsent, conn.Send, s.end)
	return s
}

// end ends the session. The first call counts.
func (s *session) end(err error) {
	s.once.Do(func() {
		s.err = err
		close(s.ended)
	})
}

var errUnread = &frames.Bye{Reason: frames.Slow, Message: "the worker does not read its frames"}

// send adds a frame to those that are sent.
func (s *session) send(frame func([]byte) []byte) {
	if !s.out.Add(frame) {
		s.end(errUnread)
	}
}

// ErrClosed is the error of a connection that the worker has closed.
var ErrClosed = errors.New("the worker closed its connection")

// read reads frames until the connection ends.
func (s *session) read() error {
	for {
		message, err := s.conn.Receive()
		if errors.Is(err, io.EOF) {
			return ErrClosed
		}
		if err != nil {
			return err
		}
		if err := s.frame(message); err != nil {
			return err
		}
	}
}

// frame handles one message of the worker.
func (s *session) frame(message []byte) error {
	f, err := frames.ParseWorker(message)
	if err == nil && f.Kind() == frames.KindUnknown {
		err = &frames.Bye{Reason: frames.Invalid, Message: "not a frame of a worker"}
	}
	if err != nil {
		if s.stray != nil {
			s.stray(message)
			return nil
		}
		return err
	}
	switch f.Kind() { //nolint:exhaustive // the others are of a run
	case frames.KindServe:
		return s.declare(f)
	case frames.KindCall:
		return s.call(f)
	case frames.KindDrain:
		s.drain()
		return nil
	}
	r := s.find(f)
	switch {
	case r == nil: // it is finished
	case f.Kind() == frames.KindExtend:
		r.extend(f)
	case f.Kind() == frames.KindFinal:
		r.final <- f
		s.service.give(s)
	}
	return nil
}

// declare reads the serve frame.
func (s *session) declare(f *frames.Worker) error {
	if s.declaration != nil {
		return &frames.Bye{Reason: frames.Invalid, Message: "a second serve frame"}
	}
	s.capacity = s.host.cfg.Concurrency
	if f.Concurrency != nil {
		s.capacity = *f.Concurrency
	}
	if s.capacity < 1 || s.capacity > maxConcurrency {
		return &frames.Bye{Reason: frames.Invalid, Message: fmt.Sprintf("concurrency %d is not between 1 and %d", s.capacity, maxConcurrency)}
	}
	declared, err := workers.FromManifest(f.Serve, func(ctx context.Context, args []json.RawMessage) (any, error) {
		return s.service.handle(ctx, args)
	})
	if err != nil {
		return &frames.Bye{Reason: frames.Invalid, Message: err.Error()}
	}
	if allow := s.host.cfg.Allow; allow != nil {
		if bye := allow(declared.Name()); bye != nil {
			return bye
		}
	}
	manifest, err := declared.Manifest()
	if err != nil {
		return &frames.Bye{Reason: frames.Invalid, Message: err.Error()}
	}
	s.declaration, s.manifest = declared, string(manifest)
	s.host.attach(s)
	close(s.declared)
	return nil
}
