package host

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
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
		long, isLong := errors.AsType[*LongError](err)
		switch {
		case errors.Is(err, io.EOF):
			return ErrClosed
		case isLong:
			err = s.tooLong(long)
		case err == nil:
			err = s.frame(message)
		}
		if err != nil {
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
		return s.noFrame(message, f, err)
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
	case f.Kind() == frames.KindProgress:
		if err := workers.Progress(r.context(), json.RawMessage(f.Progress)); err != nil {
			s.host.cfg.Log.Warn("a report of progress was dropped", "error", err)
		}
	case f.Kind() == frames.KindFinal:
		r.final <- f
		s.service.give(s)
	}
	return nil
}

// noFrame handles a message that is no frame. On a connection that also carries other
// output, one that looks like a frame is a warning, and ends the run that it names.
func (s *session) noFrame(message []byte, f *frames.Worker, err error) error {
	if s.stray == nil {
		return err
	}
	if !looksLikeFrame(message) {
		s.stray(message)
		return nil
	}
	s.host.cfg.Log.Warn("a line of the worker looks like a frame, but is none", "error", err, "line", string(message[:min(len(message), longStart)]))
	if f != nil {
		s.fail(f.Run)
	}
	return nil
}

// looksLikeFrame reports whether a message begins like a frame of a worker.
func looksLikeFrame(message []byte) bool {
	for _, member := range []string{"run", "serve", "call"} {
		if bytes.HasPrefix(message, []byte(`{"`+member+`":`)) || bytes.HasPrefix(message, []byte(`{"`+member+`" :`)) {
			return true
		}
	}
	return false
}

// runName finds the name of the run in the beginning of a frame.
var runName = regexp.MustCompile(`"run":\s*"([^"\\]+)"`)

// tooLong ends the run of a frame that is too long with INTERNAL.
func (s *session) tooLong(long *LongError) error {
	found := runName.FindSubmatch(long.Start)
	if found == nil || !s.fail(string(found[1])) {
		return &frames.Bye{Reason: frames.Invalid, Message: long.Error()}
	}
	s.host.cfg.Log.Error("the final frame of a run is too long", "run", string(found[1]), "limit", frames.MaxLine)
	return nil
}

// fail ends a run with INTERNAL; false: there is no such run.
func (s *session) fail(name string) bool {
	no := false
	f := &frames.Worker{Run: name, OK: &no}
	r := s.find(f)
	if r == nil {
		return false
	}
	r.final <- f
	s.service.give(s)
	return true
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
