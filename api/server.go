package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/oskadev/mailroom/api/limits"
	"github.com/oskadev/mailroom/ask"
	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/registry"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/cache"
	"github.com/oskadev/mailroom/versions"
)

// Server is one gateway.
type Server struct {
	conn     *bus.Conn
	cfg      Config
	log      *slog.Logger
	client   *caller.Client
	cache    *cache.Cache
	registry *registry.Registry
	app      *fiber.App
	keys     verifier // nil: none is accepted
	tokens   verifier
	unscoped sync.Once // the warning that scopes are not checked

	unmatched sync.Map // routes of rules that are none, which has been logged
	table     atomic.Pointer[table]
	tables    sync.Mutex // one is built at a time
	versioned *versioned
	composer  *composer

	certificate *certificate // nil: plain HTTP
	limiter     *limits.Limiter
	bulkhead    bulkhead
	sizes       map[string]*SizeRule // by route

	draining atomic.Bool
	served   atomic.Bool     // it has been ready once
	watchers atomic.Int64    // who waits for the end of a request that is under way
	calls    context.Context //nolint:containedctx // ends with the last call; Fiber's handlers have no other way to see it
	waits    context.Context //nolint:containedctx // ends as soon as the gateway has been told to stop
	asks     context.Context //nolint:containedctx // never ends: closing the client ends what is asked
}

// New prepares a gateway on a connection to the bus.
func New(conn *bus.Conn, cfg Config) (*Server, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	s := &Server{conn: conn, cfg: cfg, log: cfg.Logger, bulkhead: bulkhead{most: cfg.InFlight}, sizes: make(map[string]*SizeRule)}
	if s.log == nil {
		s.log = conn.Log()
	}
	for i := range cfg.Sizes {
		s.sizes[cfg.Sizes[i].Route] = &cfg.Sizes[i]
	}
	var err error
	if cfg.TLSCert != "" {
		if s.certificate, err = newCertificate(cfg.TLSCert, cfg.TLSKey, s.log); err != nil {
			return nil, fmt.Errorf("gateway: %w", err)
		}
	}
	if s.versioned, err = newVersioned(cfg.VersionsFile, cfg.Versions); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	s.rebuild(registry.Snapshot{})
	s.registry = registry.New(conn, func(services registry.Snapshot) {
		s.tables.Lock()
		s.rebuild(services)
		s.tables.Unlock()
		s.warnOfScopes(services)
		s.warnOfRules(s.table.Load())
	})
	s.app = fiber.New(fiber.Config{
		DisableStartupMessage: true, DisablePreParseMultipartForm: true,
		BodyLimit: cfg.BodyLimit, ReadBufferSize: cfg.HeaderLimit,
		ReadTimeout: cfg.ReadTimeout, WriteTimeout: cfg.WriteTimeout, IdleTimeout: cfg.IdleTimeout,
		ErrorHandler: s.onError,
	})
	if len(cfg.CORS.Origins) > 0 {
		s.app.Use(cfg.CORS.handler())
	}
	s.app.Use(s.handle)
	server := s.app.Server()
	server.CloseOnShutdown = true
	server.NoDefaultServerHeader = true
	server.ExpectHandler = s.expect
	server.HeaderReceived = s.sized
	next := server.Handler
	server.Handler = func(ctx *fasthttp.RequestCtx) {
		defer s.recovered(ctx)
		s.edge(ctx, next)
		s.guard(&ctx.Request.Header, &ctx.Response)
	}
	return s, nil
}

// edge lets a request in, unless it is none that an honest client sends.
func (s *Server) edge(ctx *fasthttp.RequestCtx, next fasthttp.RequestHandler) {
	if f := refuseHostile(&ctx.Request.Header); f != nil {
		ctx.Response.SetConnectionClose()
		refuseRest(ctx)
		writeFailure(&ctx.Response, f, wire.Error{RequestID: requestIDOf(&ctx.Request.Header)})
		return
	}
	next(ctx)
	if s.draining.Load() {
		ctx.Response.SetConnectionClose()
	}
}

// recovered answers a call whose handling panicked: a fault of ours, which
// costs nobody else anything.
func (s *Server) recovered(ctx *fasthttp.RequestCtx) {
	if p := recover(); p != nil {
		s.log.Error("a call panicked", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		ctx.Response.Reset()
		f := fail(codeInternal, "internal error")
		f.closeAfter = true
		writeFailure(&ctx.Response, f, wire.Error{RequestID: requestIDOf(&ctx.Request.Header)})
		s.guard(&ctx.Request.Header, &ctx.Response)
	}
}

// expect answers a client that asks before it sends a body
// (https://www.rfc-editor.org/rfc/rfc9110#section-10.1.1).
func (s *Server) expect(ctx *fasthttp.RequestCtx) int {
	h := &ctx.Request.Header
	f := s.bodiless(h)
	if limit := s.bodyLimit(h); f == nil {
		if h.ContentLength() <= limit {
			return fasthttp.StatusContinue
		}
		f = tooLarge(limit)
	}
	refuseRest(ctx)
	writeFailure(&ctx.Response, f, wire.Error{RequestID: requestIDOf(h)})
	s.guard(h, &ctx.Response)
	return statusOf(f.code)
}

// Serve answers on the listener, which it closes, until the context ends; then
// it drains: no more connections are taken, calls in flight are answered. An
// error means that the listener failed, that the drain limit passed, or that
// Redis refuses a gateway that has never been ready: a bus.RefusedError.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	calls, stopCalls := context.WithCancel(context.WithoutCancel(ctx))
	defer stopCalls()
	waits, stopWaits := context.WithCancel(calls)
	defer stopWaits()
	s.calls, s.waits, s.asks = calls, waits, context.WithoutCancel(ctx)
	s.client = caller.New(s.conn, caller.Config{ //nolint:contextcheck // it lives until it is closed
		MailboxLimit: s.cfg.MailboxLimit, AdmitLate: s.cfg.AdmitLate, MinReplicas: s.cfg.MinReplicas,
	})
	defer s.client.Close()
	closeCache, err := s.openCache()
	if err != nil {
		return err
	}
	defer closeCache()
	closeLimits, err := s.openLimits()
	if err != nil {
		return err
	}
	defer closeLimits()
	closeVerifiers, err := s.openVerifiers() //nolint:contextcheck // they live until they are closed
	if err != nil {
		return err
	}
	defer closeVerifiers()
	var background sync.WaitGroup
	defer background.Wait()
	looking, stopLooking := context.WithCancel(calls)
	defer stopLooking()
	background.Go(func() { s.registry.Run(looking) })
	background.Go(func() { s.watchVersions(looking) })
	s.composer = &composer{
		s: s, asker: ask.Over(s.client, s.cache, &s.bulkhead, s.services, s.log),
		plans: make(map[string]*versions.Plan), kept: make(map[string]time.Time),
	}
	if s.versioned.inForce() != nil {
		// As long as there are calls: they may wait for what only this gateway runs.
		background.Go(func() { s.composer.consume(looking) })
	}

	open := &connections{open: make(map[*connection]struct{})}
	s.app.Server().ConnState = open.changed
	taking := &listener{Listener: ln, taken: open, most: s.cfg.MaxConnections, log: s.log}
	if s.certificate != nil {
		taking.secure = s.certificate.config()
	}
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
	s.draining.Store(true)
	stopWaits()
	// Closed here, and waited for, since a shutdown that comes before the HTTP
	// library has begun to listen would find nothing to shut down.
	taking.end()
	listening := <-failed
	limit := time.Now().Add(s.cfg.DrainLimit)
	draining, stopDraining := context.WithDeadline(calls, limit)
	defer stopDraining()
	open.drain(draining)
	err = s.app.ShutdownWithTimeout(max(time.Until(limit), time.Millisecond))
	switch {
	case errors.Is(err, net.ErrClosed):
		err = nil
	case errors.Is(err, context.DeadlineExceeded):
		err = fmt.Errorf("calls in flight were cut off after the drain limit of %v", s.cfg.DrainLimit)
	}
	return errors.Join(refusal, listening, err)
}

// openCache joins the cache of all gateways.
func (s *Server) openCache() (closeCache func(), err error) {
	conn, namespace := s.conn, s.conn.Keys.Namespace()
	if s.cfg.CacheRedisURL != "" {
		if conn, err = bus.Connect(s.cfg.CacheRedisURL, bus.Options{Namespace: namespace, Logger: s.log, Role: wire.RoleAPI, Credentials: s.cfg.CacheCredentials}); err != nil {
			return nil, fmt.Errorf("the cache: %w", err)
		}
	}
	rdb := conn.NewClient() // a slow cache takes no connection from the bus
	s.cache, err = cache.New(rdb, cache.Config{Namespace: namespace, LocalBytes: s.cfg.NearBytes, Timeout: s.cfg.CacheTimeout, Logger: s.log})
	if err != nil {
		return nil, fmt.Errorf("the cache: %w", err)
	}
	return func() {
		s.cache.Close()
		_ = rdb.Close()
		if conn != s.conn {
			_ = conn.Close()
		}
	}, nil
}

// services are those that the gateway knows.
func (s *Server) services() registry.Snapshot { return s.table.Load().services }

// Serves reports whether this gateway routes to all the named services, each
// with a live worker.
func (s *Server) Serves(names ...string) bool {
	services := s.table.Load().services
	for _, name := range names {
		if service := services[name]; service == nil || !service.Live() {
			return false
		}
	}
	return true
}

// ready reports whether the gateway can serve: Redis is reachable, replies would
// be heard, it has seen which services there are, and knows what the gateways share.
func (s *Server) ready() bool {
	ready := s.client.Ready() && s.client.Secret() != nil && s.registry.Looked() && !s.draining.Load()
	if ready {
		s.served.Store(true)
	}
	return ready
}
