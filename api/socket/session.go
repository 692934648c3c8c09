package socket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/oskadev/mailroom/api/exchange"
	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/frames"
	"github.com/oskadev/mailroom/internal/host"
	"github.com/oskadev/mailroom/internal/token"
)

// serve serves one socket until it ends.
func (s *Sockets) serve(c *conn, h Handshake) {
	defer func() { _ = c.raw.Close() }()
	s.clients.Add(1)
	defer s.clients.Add(-1)
	first, err := s.greet(c, &h)
	switch {
	case err != nil:
		c.refuse(err)
	case first.Serve != nil:
		s.serveWorker(c, h)
	default:
		s.serveClient(c, h)
	}
}

// greet authenticates the peer, says hello, and reads its first frame, which Receive then
// returns again.
func (s *Sockets) greet(c *conn, h *Handshake) (*frames.Client, error) {
	known := h.Authenticated || s.cfg.Open
	if !known {
		late := time.AfterFunc(s.cfg.AuthLimit, func() {
			c.end(&frames.Bye{Reason: frames.Unauthenticated, Message: fmt.Sprintf("no auth frame within %v", s.cfg.AuthLimit)})
		})
		defer late.Stop()
	} else {
		s.hello(c, h)
	}
	stop := context.AfterFunc(s.draining, func() { c.end(s.cfg.Host.DrainBye) })
	defer stop()
	message, err := c.Receive()
	if err != nil {
		return nil, err
	}
	f, err := frames.ParseClient(message)
	if err != nil {
		return nil, err
	}
	if !known {
		if err := s.authenticate(f, h); err != nil {
			return nil, err
		}
		s.hello(c, h)
	}
	if f.Auth == nil {
		c.next = bytes.Clone(message)
		return f, nil
	}
	return s.second(c)
}

// second reads the first frame behind an auth frame.
func (s *Sockets) second(c *conn) (*frames.Client, error) {
	message, err := c.Receive()
	if err != nil {
		return nil, err
	}
	c.next = bytes.Clone(message)
	return frames.ParseClient(message)
}

// authenticate takes the credential of the first frame. A frame without one is that of an
// anonymous peer.
func (s *Sockets) authenticate(f *frames.Client, h *Handshake) error {
	credential := ""
	if f.Auth != nil && f.Auth.Kind() != 'n' {
		if f.Auth.Kind() != '"' || jsonv2.Unmarshal(f.Auth, &credential) != nil || credential == "" {
			return &frames.Bye{Reason: frames.Invalid, Message: "auth: want an API key or a token as a string, or null"}
		}
	}
	var refused *exchange.Failure
	if h.Credential = credential; credential == "" {
		refused = s.cfg.Auth.Anonymous()
	} else {
		h.Principal, refused = s.cfg.Auth.Verify(s.draining, credential)
	}
	switch {
	case refused == nil:
		return nil
	case refused.Code == wire.CodeUnauthenticated:
		return unauthenticated(refused)
	default:
		return &frames.Bye{Reason: frames.Unavailable, Message: refused.Message, Retry: retryAfter}
	}
}

func unauthenticated(f *exchange.Failure) *frames.Bye {
	return &frames.Bye{Reason: frames.Unauthenticated, Message: f.Message}
}

// recheck closes the socket when its credential is not accepted any more, or lacks a scope
// that it needs. Call the function that it returns when the socket has ended.
func (s *Sockets) recheck(c *conn, h *Handshake, scope string) (stop func()) {
	if h.Credential == "" {
		return func() {}
	}
	var timer *time.Timer
	var mu sync.Mutex
	ended := false
	check := func() {
		principal, f := s.cfg.Auth.Verify(s.draining, h.Credential)
		mu.Lock()
		defer mu.Unlock()
		switch {
		case ended:
		case f != nil && f.Code == wire.CodeUnauthenticated:
			c.end(unauthenticated(f))
		case f == nil && scope != "" && !s.cfg.Open && !principal.Has(scope):
			c.end(lacks(scope))
		default:
			timer.Reset(s.cfg.Recheck)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	timer = time.AfterFunc(s.cfg.Recheck, check)
	return func() {
		mu.Lock()
		defer mu.Unlock()
		ended = true
		timer.Stop()
	}
}

func lacks(scope string) *frames.Bye {
	return &frames.Bye{Reason: frames.Forbidden, Message: "the credential lacks the scope " + scope}
}

// hello says that the socket is open.
func (s *Sockets) hello(c *conn, h *Handshake) {
	hello := frames.Hello{
		Session: token.New(token.NameBytes), Ping: s.cfg.Ping.Milliseconds(), InFlight: s.cfg.InFlight, Max: s.cfg.MaxMessage,
	}
	if h.Principal != nil {
		hello.Principal = h.Principal.Subject
	}
	_ = c.Send(append(hello.Append(nil), '\n')) // Receive reports a broken connection
}

// refuse says bye for an error, closes the socket, and waits until the peer has closed it.
func (c *conn) refuse(err error) {
	bye, ok := errors.AsType[*frames.Bye](err)
	if ok {
		_ = c.Send(append(bye.Append(nil), '\n'))
	}
	c.Close(bye)
	if ok {
		c.awaitClose()
	}
}

// end says bye and closes the socket, from any goroutine.
func (c *conn) end(bye *frames.Bye) {
	_ = c.Send(append(bye.Append(nil), '\n'))
	c.Close(bye)
}

// awaitClose reads until the peer has closed: a connection that is closed before it was
// read may lose the last frames.
func (c *conn) awaitClose() {
	for {
		if _, err := c.receive(); err != nil {
			return
		}
	}
}

// serveWorker serves a worker.
func (s *Sockets) serveWorker(c *conn, h Handshake) {
	s.clients.Add(-1)
	s.workers.Add(1)
	defer func() {
		s.workers.Add(-1)
		s.clients.Add(1)
	}()
	cfg := s.cfg.Host
	stop := func() {}
	cfg.Allow = func(service string) *frames.Bye {
		scope := "serve:" + service
		if !s.cfg.Open && !h.Principal.Has(scope) {
			return lacks(scope)
		}
		stop = s.recheck(c, &h, scope)
		return nil
	}
	hosted := host.New(cfg)
	defer hosted.Close()
	err := hosted.Serve(s.draining, c, nil)
	stop() // Allow was called before, on a goroutine that has ended
	if _, refused := errors.AsType[*bus.RefusedError](err); refused {
		s.cfg.Log.Error("Redis refuses the worker of a socket", "error", err)
	}
}

var _ host.Conn = (*conn)(nil)
