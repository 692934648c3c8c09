package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oskadev/mailroom/internal/busctx"

	"github.com/gofiber/fiber/v2"

	"github.com/oskadev/mailroom/api/auth"
	"github.com/oskadev/mailroom/api/compose"
	"github.com/oskadev/mailroom/api/edge"
	"github.com/oskadev/mailroom/api/limits"
	"github.com/oskadev/mailroom/api/route"
	"github.com/oskadev/mailroom/api/tickets"
	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/registry"
	"github.com/oskadev/mailroom/bus/wire"
)

// Server is one gateway.
type Server struct {
	cfg      Config
	log      *slog.Logger
	app      *fiber.App
	gate     *edge.Gate
	router   *route.Router
	backend  *backend
	auth     *auth.Authenticator
	quotas   limits.Quotas
	tickets  *tickets.Tickets
	composer *compose.Composer

	certificate *edge.Certificate // nil: plain HTTP
	life        life
}

// life is how far a gateway has got between its start and its end.
type life struct {
	served    atomic.Bool        // it has been ready once
	stopCalls context.CancelFunc // ends the contexts of all calls
	stopWaits context.CancelFunc // ends the waits for outcomes of other calls
	closers   []func()
	closed    sync.Once
}

// New returns a complete gateway: Serve only serves. A server that is not served must
// be closed. The error names every fault of the config. New does not wait for Redis.
func New(ctx context.Context, cfg Config) (*Server, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	s := &Server{cfg: cfg, log: cfg.Logger}
	conn := busctx.From(ctx)
	if conn == nil {
		var err error
		conn, err = bus.Connect(cfg.RedisURL, bus.Options{Namespace: cfg.Namespace, Logger: cfg.Logger, Role: wire.RoleAPI, Credentials: cfg.Credentials})
		if err != nil {
			return nil, fmt.Errorf("gateway: %w", err)
		}
		s.life.closers = append(s.life.closers, func() { _ = conn.Close() })
	}
	if s.log == nil {
		s.log = conn.Log()
	}
	if err := s.open(conn); err != nil { //nolint:contextcheck // its parts live until Close
		s.Close()
		return nil, fmt.Errorf("gateway: %w", err)
	}
	calls, stopCalls := context.WithCancel(context.WithoutCancel(ctx))
	waits, stopWaits := context.WithCancel(calls)
	s.life.stopCalls, s.life.stopWaits = stopCalls, stopWaits
	s.gate = edge.NewGate(edge.GateConfig{
		BodyLimit: cfg.BodyLimit, HeaderLimit: cfg.HeaderLimit, Sizes: cfg.Sizes, CORS: cfg.CORS, Secure: s.certificate != nil,
		RefuseAnonymous: s.auth.RefuseAnonymous, Pattern: s.router.Pattern, Log: s.log,
	})
	s.app = fiber.New(fiber.Config{
		DisableStartupMessage: true, DisablePreParseMultipartForm: true,
		BodyLimit: cfg.BodyLimit, ReadBufferSize: cfg.HeaderLimit,
		ReadTimeout: cfg.ReadTimeout, WriteTimeout: cfg.WriteTimeout, IdleTimeout: cfg.IdleTimeout,
		ErrorHandler: s.gate.OnError,
	})
	if len(cfg.CORS.Origins) > 0 {
		s.app.Use(cfg.CORS.Handler())
	}
	s.app.Use(func(c *fiber.Ctx) error { return s.handle(calls, waits, c) })
	server := s.app.Server()
	server.CloseOnShutdown = true
	server.NoDefaultServerHeader = true
	server.ExpectHandler = s.gate.Expect
	server.HeaderReceived = s.gate.HeaderReceived
	server.Handler = s.gate.Handler(server.Handler)
	return s, nil
}

// open opens the parts of a gateway. After an error, Close closes those that are open.
func (s *Server) open(conn *bus.Conn) (err error) {
	cfg := &s.cfg
	if cfg.TLSCert != "" {
		if s.certificate, err = edge.NewCertificate(cfg.TLSCert, cfg.TLSKey, s.log); err != nil {
			return err
		}
	}
	if s.router, err = route.New(cfg.VersionsFile, cfg.Versions, cfg.ruled(), s.log); err != nil {
		return err
	}
	if s.auth, err = auth.New(conn, cfg.Auth, cfg.Tokens, s.log); err != nil {
		return err
	}
	s.life.closers = append(s.life.closers, s.auth.Close)
	if s.quotas, err = limits.NewQuotas(conn, cfg.Limits, cfg.TrustedProxies, cfg.LimitTimeout, s.log); err != nil {
		return err
	}
	s.life.closers = append(s.life.closers, s.quotas.Close)
	s.backend, err = newBackend(conn, cfg, s.router.Find, func(services registry.Snapshot) {
		s.router.Update(services)
		s.auth.WarnUncheckedScopes(services)
	}, s.log)
	if err != nil {
		return err
	}
	s.life.closers = append(s.life.closers, s.backend.close)
	s.tickets = tickets.New(s.backend.client, cfg.WriteTimeout, s.log)
	s.composer = compose.New(compose.Config{
		Conn: conn, Caller: s.backend.caller, Limit: s.backend.limit, Services: s.router,
		IdleLimit: cfg.IdleLimit, DrainLimit: cfg.DrainLimit, Log: s.log,
	})
	return nil
}

// Close closes a server that is not served. Serve closes it by itself.
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

// Serve answers on the listener, which it closes, until the context ends; then it
// drains: no more connections are taken, calls in flight are answered. It closes the
// server. An error means that the listener failed, that the drain limit passed, or
// that Redis refuses a gateway that was never ready: a RefusedError.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	defer s.Close()
	var background sync.WaitGroup
	defer background.Wait()
	looking, stopLooking := context.WithCancel(context.WithoutCancel(ctx))
	defer stopLooking()
	background.Go(func() { s.backend.registry.Run(looking) })
	background.Go(func() { s.router.Watch(looking) })
	if s.router.Composed() {
		// As long as there are calls: they may wait for what only this gateway runs.
		background.Go(func() { s.composer.Consume(looking) })
	}
	taking := edge.Listen(ln, s.cfg.MaxConnections, s.certificate, s.log)
	s.app.Server().ConnState = taking.OnConnState
	failed, refused := make(chan error, 1), make(chan error, 1)
	background.Go(func() { failed <- s.app.Listener(taking) })
	background.Go(func() { s.watchRefusals(looking, refused) })
	var refusal error
	select {
	case err := <-failed:
		return fmt.Errorf("serve on %s: %w", ln.Addr(), err)
	case refusal = <-refused:
	case <-ctx.Done():
	}
	return errors.Join(refusal, s.drain(looking, taking, failed))
}

// drain ends a gateway that serves: its calls in flight are answered first.
func (s *Server) drain(ctx context.Context, taking *edge.Listener, ended <-chan error) error {
	s.gate.Drain()
	s.life.stopWaits()
	// Closed here, and waited for, since a shutdown that comes before the HTTP
	// library has begun to listen would find nothing to shut down.
	taking.End()
	listening := <-ended
	limit := time.Now().Add(s.cfg.DrainLimit)
	draining, stopDraining := context.WithDeadline(ctx, limit)
	defer stopDraining()
	taking.Drain(draining)
	err := s.app.ShutdownWithTimeout(max(time.Until(limit), time.Millisecond))
	switch {
	case errors.Is(err, net.ErrClosed):
		err = nil
	case errors.Is(err, context.DeadlineExceeded):
		err = fmt.Errorf("calls in flight were cut off after the drain limit of %v", s.cfg.DrainLimit)
	}
	return errors.Join(listening, err)
}

// Serves reports whether this gateway routes to all the named services, each
// with a live worker.
func (s *Server) Serves(names ...string) bool {
	services := s.router.Services()
	for _, name := range names {
		if !services[name].Live() {
			return false
		}
	}
	return true
}

// ready reports whether the gateway can serve: Redis is reachable, replies would be
// heard, the services and the gateways' secret are known.
func (s *Server) ready() bool {
	ready := s.backend.ready() && !s.gate.Draining()
	if ready {
		s.life.served.Store(true)
	}
	return ready
}
