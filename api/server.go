package api

import (
	"context"
	"fmt"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttpadaptor"

	"github.com/oskadev/mailroom/api/auth"
	"github.com/oskadev/mailroom/api/compose"
	"github.com/oskadev/mailroom/api/console"
	"github.com/oskadev/mailroom/api/docs"
	"github.com/oskadev/mailroom/api/edge"
	"github.com/oskadev/mailroom/api/exchange"
	"github.com/oskadev/mailroom/api/limits"
	"github.com/oskadev/mailroom/api/metrics"
	"github.com/oskadev/mailroom/api/recent"
	"github.com/oskadev/mailroom/api/route"
	"github.com/oskadev/mailroom/api/socket"
	"github.com/oskadev/mailroom/api/stats"
	"github.com/oskadev/mailroom/api/tickets"
	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/registry"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/busctx"
	"github.com/oskadev/mailroom/internal/host"
	"github.com/oskadev/mailroom/internal/tracing"
)

// Server is one gateway. New makes it, Serve serves, Close closes one that is not served.
type Server struct {
	cfg      Config
	app      *fiber.App
	gate     *edge.Gate
	router   *route.Router
	backend  *backend
	auth     *auth.Authenticator
	quotas   limits.Quotas
	bypasses *limits.Allowance // of cached answers, by Cache-Control
	tickets  *tickets.Tickets
	composer *compose.Composer
	sockets  *socket.Sockets
	docs     *docs.Pages

	responder   responder
	certificate *edge.Certificate // nil: plain HTTP
	life        life
	metrics     *metrics.Gateway
	recent      *recent.Ring
	access      *accessLog // nil: none
	stats       *stats.Publisher
	console     *console.Console
	spans       spans                   // of requests
	ops         fasthttp.RequestHandler // nil: the gateway serves no pages of the operator
}

// New returns a complete gateway. The error names every fault of the config. New does not
// wait for Redis. A server that is not served must be closed. Requests are traced where the
// program has set an OpenTelemetry TracerProvider before (otel.SetTracerProvider).
func New(ctx context.Context, cfg Config) (*Server, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	s := &Server{cfg: cfg, metrics: metrics.New(), recent: recent.New()}
	conn := busctx.From(ctx)
	if conn == nil {
		var err error
		conn, err = bus.Connect(cfg.RedisURL, bus.Options{Namespace: cfg.Namespace, Logger: cfg.Logger, Role: wire.RoleAPI, Credentials: cfg.Credentials})
		if err != nil {
			return nil, fmt.Errorf("gateway: %w", err)
		}
		s.life.closers = append(s.life.closers, func() { _ = conn.Close() })
	}
	if s.cfg.Logger == nil {
		s.cfg.Logger = conn.Log()
	}
	s.access = newAccessLog(s.cfg.Logger, cfg.AccessLog)
	s.spans = spans{tracer: tracing.From(ctx), scheme: "http"}
	if err := s.open(conn); err != nil { //nolint:contextcheck // its parts live until Close
		s.Close()
		return nil, fmt.Errorf("gateway: %w", err)
	}
	calls, stopCalls := context.WithCancel(context.WithoutCancel(ctx))
	waits, stopWaits := context.WithCancel(calls)
	s.life.stopCalls, s.life.stopWaits = stopCalls, stopWaits
	s.gate = edge.NewGate(edge.GateConfig{
		BodyLimit: cfg.BodyLimit, HeaderLimit: cfg.HeaderLimit, Sizes: cfg.Sizes, CORS: cfg.CORS, Secure: s.certificate != nil,
		RefuseAnonymous: s.refuseAnonymous, Probe: isProbe, Pattern: s.router.Pattern, Refused: s.metrics.Refused, Log: s.cfg.Logger,
	})
	s.responder = responder{auth: cfg.Auth, hideWorker: cfg.HideWorker, gate: s.gate, log: s.cfg.Logger}
	switch {
	case cfg.OwnOps:
		s.ops = fasthttpadaptor.NewFastHTTPHandler(s.Ops())
	case cfg.Console:
		s.ops = fasthttpadaptor.NewFastHTTPHandler(s.console)
	}
	s.app = fiber.New(fiber.Config{
		DisableStartupMessage: true, DisablePreParseMultipartForm: true,
		BodyLimit: cfg.BodyLimit, ReadBufferSize: cfg.HeaderLimit,
		ReadTimeout: cfg.ReadTimeout, WriteTimeout: cfg.WriteTimeout, IdleTimeout: cfg.IdleTimeout,
		ErrorHandler: s.gate.OnError,
	})
	if len(cfg.CORS.Origins) > 0 {
		s.app.Use(cfg.CORS.Handler(func(c *fiber.Ctx) *exchange.Failure { return s.countPreflight(calls, c) }))
	}
	s.app.Use(func(c *fiber.Ctx) error { return s.handle(calls, waits, c) })
	server := s.app.Server()
	server.CloseOnShutdown = true
	server.KeepHijackedConns = true // sockets close them
	server.NoDefaultServerHeader = true
	server.ExpectHandler = s.gate.Expect
	server.HeaderReceived = s.gate.HeaderReceived
	server.Handler = s.gate.Handler(server.Handler)
	return s, nil
}

// open opens the parts of a gateway. After an error, Close closes the opened ones.
func (s *Server) open(conn *bus.Conn) (err error) {
	cfg := &s.cfg
	if cfg.TLSCert != "" {
		if s.certificate, err = edge.NewCertificate(cfg.TLSCert, cfg.TLSKey, s.cfg.Logger); err != nil {
			return err
		}
		s.spans.scheme = "https"
	}
	if s.router, err = route.New(cfg.VersionsFile, cfg.Versions, cfg.ruled(), s.cfg.Logger); err != nil {
		return err
	}
	if s.auth, err = auth.New(conn, cfg.Auth, cfg.Tokens, s.cfg.Logger); err != nil {
		return err
	}
	s.life.closers = append(s.life.closers, s.auth.Close)
	if s.quotas, err = limits.NewQuotas(conn, cfg.Limits, cfg.TrustedProxies, cfg.LimitTimeout, s.cfg.Logger); err != nil {
		return err
	}
	s.life.closers = append(s.life.closers, s.quotas.Close)
	if s.bypasses, err = limits.NewAllowance(cfg.NoCacheRate); err != nil {
		return err
	}
	s.life.closers = append(s.life.closers, s.bypasses.Close)
	s.sockets = socket.New(socket.Config{
		Auth: s.auth, Calls: socketBackend{s}, Events: socketBackend{s}, Open: cfg.Auth == AuthNone, AllowOrigin: cfg.CORS.Allows, InFlight: cfg.SocketInFlight,
		Host: host.Config{
			Conn: conn, Log: cfg.Logger, IdleLimit: cfg.IdleLimit, DrainLimit: cfg.DrainLimit,
			CacheRedisURL: cfg.CacheRedisURL, CacheCredentials: cfg.CacheCredentials, History: cfg.History,
		},
		Log: cfg.Logger,
	})
	s.backend, err = newBackend(conn, cfg, s.router.Find, func(services registry.Snapshot) {
		s.router.Update(services)
		s.auth.WarnUncheckedScopes(services)
	}, s.sockets, s.metrics.InvalidEntry, s.cfg.Logger)
	if err != nil {
		return err
	}
	s.life.closers = append(s.life.closers, s.backend.close)
	s.tickets = tickets.New(tickets.Config{
		Client: s.backend.client, WriteTimeout: cfg.WriteTimeout, Caller: s.quotas.Caller, StreamLife: cfg.StreamLife, Streams: cfg.Streams, Log: s.cfg.Logger,
	})
	s.composer = compose.New(compose.Config{
		Conn: conn, Caller: s.backend.caller, Secret: s.backend.client.Secret, Limit: s.backend.limit, Services: s.router, Tracer: s.spans.tracer,
		Ended: s.stepEnded, History: cfg.History, IdleLimit: cfg.IdleLimit, DrainLimit: cfg.DrainLimit, Log: s.cfg.Logger,
	})
	s.metrics.CollectState(s.state)
	s.stats = stats.NewPublisher(conn, s.backend.client.ID(), s.metrics.Traffic(), s.backend.ready)
	s.console, err = console.New(console.Config{
		Conn: conn, Gateway: consoleGateway{s}, Calls: consoleGateway{s}, Stats: s.stats, Recent: s.recent, Log: s.cfg.Logger,
		Open: cfg.OwnOps, Secure: cfg.TLSCert != "", Masks: cfg.Masks,
	})
	if err != nil {
		return err
	}
	s.life.closers = append(s.life.closers, s.console.Close)
	s.docs, err = docs.New(docs.Config{
		Table: s.router.Table, Known: s.backend.registry.Looked, Auth: cfg.Auth, Public: cfg.PublicDocs, Log: s.cfg.Logger,
	})
	return err
}
