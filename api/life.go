package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oskadev/mailroom/api/edge"
	"github.com/oskadev/mailroom/internal/backoff"
)

// life is the state of a gateway between its start and its end.
type life struct {
	served    atomic.Bool        // the gateway has been ready once
	stopCalls context.CancelFunc // ends the contexts of all requests
	stopWaits context.CancelFunc // ends the waits for outcomes of other requests
	closers   []func()
	closed    sync.Once
}

// Close closes a server that is not served. Serve closes the server itself.
func (s *Server) Close() {
	s.life.closed.Do(func() {
		if s.life.stopCalls != nil {
			s.life.stopCalls()
		}
		for i := range s.life.closers {
			s.life.closers[len(s.life.closers)-1-i]()
		}
	})
}

// Serve serves on the listener until the context ends. Then it drains: for the drain delay
// it serves as before while /readyz answers 503, then it accepts no more connections and
// answers the requests in flight. It closes the listener and the server. It returns an error
// if the listener failed, if the drain limit passed, or, as a RefusedError, if Redis refuses
// a gateway that was never ready.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	return s.run(ctx, func(context.Context) (net.Listener, error) { return ln, nil })
}

// ServeWhenReady is Serve on a listener that is opened once the gateway can serve: Redis is
// reachable and the services are known. If that takes longer than 3 s, it listens, so that
// probes and clients get an answer.
func (s *Server) ServeWhenReady(ctx context.Context, listen func(context.Context) (net.Listener, error)) error {
	return s.run(ctx, func(ctx context.Context) (net.Listener, error) {
		waiting, stop := context.WithTimeout(ctx, readyWait)
		defer stop()
		if !s.awaitReady(waiting) && ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return listen(ctx)
	})
}

const (
	readyWait = 3 * time.Second       // for the gateway to be ready before it listens
	readyPoll = 10 * time.Millisecond // between two looks whether it is
)

// awaitReady waits until the gateway can serve; false: the context ended before.
func (s *Server) awaitReady(ctx context.Context) bool {
	for !s.ready() {
		if backoff.Pause(ctx, readyPoll) != nil {
			return false
		}
	}
	return true
}

// run serves on a listener until the context ends. See Serve.
func (s *Server) run(ctx context.Context, listen func(context.Context) (net.Listener, error)) error {
	defer s.Close()
	var background sync.WaitGroup
	defer background.Wait()
	running, stopRunning := context.WithCancel(context.WithoutCancel(ctx))
	defer stopRunning()
	background.Go(func() { s.backend.registry.Run(running) })
	background.Go(func() { s.router.Watch(running) })
	background.Go(func() { s.stats.Run(running) })
	if s.router.Composed() {
		// It runs until the drain ends: requests may wait for compositions of this gateway. Before
		// the services are known, it would fail compositions that other gateways can run.
		background.Go(func() {
			if s.awaitReady(running) {
				s.composer.Consume(running)
			}
		})
	}
	serving, refuse := context.WithCancelCause(ctx)
	defer refuse(nil)
	background.Go(func() { s.watchAccess(running, refuse) })
	ln, err := listen(serving)
	switch {
	case ctx.Err() != nil:
		if err == nil {
			_ = ln.Close()
		}
		return nil
	case err != nil:
		return err
	}
	listener := edge.Listen(ln, edge.ListenerConfig{
		MaxConnections: s.cfg.MaxConnections, PerAddress: s.cfg.AddressConnections, Exempt: s.cfg.TrustedProxies, Certificate: s.certificate, Log: s.cfg.Logger,
	})
	s.app.Server().ConnState = listener.OnConnState
	failed := make(chan error, 1)
	background.Go(func() { failed <- s.app.Listener(listener) })
	select {
	case err := <-failed:
		return fmt.Errorf("serve on %s: %w", ln.Addr(), err)
	case <-serving.Done():
	}
	if ctx.Err() == nil {
		return errors.Join(context.Cause(serving), s.drain(running, listener, failed))
	}
	s.gate.Retire()
	_ = backoff.Pause(running, s.cfg.DrainDelay) // running ends later
	return s.drain(running, listener, failed)
}

// drain stops a gateway that serves, after the requests in flight are answered.
func (s *Server) drain(ctx context.Context, listener *edge.Listener, ended <-chan error) error {
	s.gate.Drain()
	s.life.stopWaits()
	// The listener ends here, and not by the shutdown: a shutdown before the HTTP library
	// has begun to listen would have no effect.
	listener.End()
	listenErr := <-ended
	limit := time.Now().Add(s.cfg.DrainLimit)
	draining, stopDraining := context.WithDeadline(ctx, limit)
	defer stopDraining()
	s.sockets.Drain(draining)
	listener.Drain(draining)
	err := s.app.ShutdownWithTimeout(max(time.Until(limit), time.Millisecond))
	switch {
	case errors.Is(err, net.ErrClosed):
		err = nil
	case errors.Is(err, context.DeadlineExceeded):
		err = fmt.Errorf("requests in flight were cut off after the drain limit of %v", s.cfg.DrainLimit)
	}
	return errors.Join(listenErr, err)
}

// Serves reports whether the gateway knows all the named services, each with a live
// worker.
func (s *Server) Serves(names ...string) bool {
	services := s.router.Services()
	for _, name := range names {
		if !services[name].Live() {
			return false
		}
	}
	return true
}

// ready reports whether the gateway can serve: the backend is ready and the gateway is not
// draining.
func (s *Server) ready() bool {
	ready := s.backend.ready() && !s.gate.Stopping()
	if ready {
		s.life.served.Store(true)
	}
	return ready
}
