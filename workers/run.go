package workers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/consumer"
	"github.com/oskadev/mailroom/bus/history"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/cache"
	"github.com/oskadev/mailroom/internal/busctx"
	"github.com/oskadev/mailroom/internal/call"
	"github.com/oskadev/mailroom/internal/tracing"
)

// Config configures a worker process.
type Config struct {
	// RedisURL is the address of the bus: redis://, rediss:// (TLS),
	// redis+cluster://h1:p1,h2:p2 or redis+sentinel://h1:p1,h2:p2/MASTER. Required.
	RedisURL string
	// Credentials authenticate the process, beside the URL. Defaults to none.
	Credentials Credentials
	// Namespace is the prefix of all keys. Defaults to "mailroom".
	Namespace string
	// Logger receives messages for operators. Defaults to slog.Default().
	Logger *slog.Logger
	// Concurrency is the number of requests of one service that run at the same time,
	// for services without WithConcurrency. Defaults to 64.
	Concurrency int
	// IdleLimit is the time without a sign of life from a worker after which other
	// workers take its requests; at least 100 ms. All workers of a service must have the
	// same limit. Defaults to 3 s.
	IdleLimit time.Duration
	// MaxAttempts is the number of deliveries after which a request becomes a dead
	// letter. Defaults to 5.
	MaxAttempts int
	// DrainLimit is the time that running requests have after ctx has ended; then their
	// own contexts end. Defaults to 20 s.
	DrainLimit time.Duration
	// CacheRedisURL is the address of the cache, in the form of RedisURL. Defaults to the
	// Redis of the bus.
	CacheRedisURL string
	// CacheCredentials authenticate the process to the Redis of CacheRedisURL. Defaults
	// to none.
	CacheCredentials Credentials
	// OnCacheBehind is called with the number of tags whose invalidation the cache's Redis
	// has not confirmed, whenever the number changes. While it is not 0, callers may get
	// stale answers until their TTL. Defaults to nil: no call.
	OnCacheBehind func(tags int)
	// History is the number of requests of each service that ended last and are kept for
	// operators, about; arguments and outcomes are cut to 1 KiB. It is a sample of at most
	// 40 a second from each worker. Negative: none. Defaults to 1000.
	History int
	// OpsListen is the address on which the process serves /metrics (Prometheus), /healthz
	// and /readyz for its operator, such as 127.0.0.1:9091. Defaults to none.
	OpsListen string
	// OnReady is called once, when Redis is reachable. Defaults to nil: no call.
	OnReady func()
	// OnStart is called once with the worker of each service, when it is registered in Redis.
	// Defaults to nil: no call.
	OnStart func(*Worker)
}

// Run serves the services until ctx ends. Then it drains: it reads no more requests, waits
// for the running ones, settles their outcomes, and returns nil. If Redis is unreachable,
// Run waits for it. Run returns a [RefusedError] if Redis rejects the process, and an error
// that names every fault if a service is not declared correctly.
//
// Where the program has set an OpenTelemetry TracerProvider (otel.SetTracerProvider) before
// Run, each run of a handler is a span, which the handler finds in its context
// (trace.SpanFromContext).
func Run(ctx context.Context, cfg Config, services ...*Service) error {
	manifests, err := manifestsOf(services)
	if err != nil {
		return err
	}
	conn := busctx.From(ctx)
	if conn == nil {
		conn, err = bus.Connect(cfg.RedisURL, bus.Options{
			Namespace: cfg.Namespace, Logger: cfg.Logger, Role: role(services), Credentials: cfg.Credentials,
		})
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
	}
	if cfg.Logger == nil {
		cfg.Logger = conn.Log()
	}
	meter, stopOps, err := serveOps(ctx, conn, cfg)
	if err != nil {
		return err
	}
	defer stopOps()
	shared, err := connectCache(conn, cfg) //nolint:contextcheck // it lives until it is closed
	if err != nil {
		return err
	}
	defer shared.close()
	tracer := tracing.From(ctx)
	consumers := make([]*consumer.Consumer, len(services))
	for i, s := range services {
		recorder := history.NewRecorder(conn, s.name, cfg.History) //nolint:contextcheck // it lives until it is closed
		defer recorder.Close()
		if len(s.unknown) > 0 {
			cfg.Logger.WarnContext(ctx, "unknown members of the manifest are ignored", "service", s.name, "members", s.unknown)
		}
		own := &calls{cfg: call.OpenConfig{Conn: conn, CacheConn: shared.conn, Role: s.name, Logger: cfg.Logger}, tracer: tracer}
		defer own.close()
		if consumers[i], err = newConsumer(conn, cfg, s, manifests[i], shared.invalidator, own, observer{s, meter, recorder}); err != nil {
			return err
		}
	}
	if err := conn.WaitReady(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // stopped before Redis was reachable
		}
		return err
	}
	if cfg.OnReady != nil {
		cfg.OnReady()
	}
	group, ctx := errgroup.WithContext(ctx)
	for i, consumer := range consumers {
		cfg.Logger.InfoContext(ctx, "worker started", "service", services[i].name, "worker", consumer.Worker())
		group.Go(func() error { return consumer.Run(ctx) })
	}
	return group.Wait()
}

// Worker is a running worker of one service.
type Worker struct {
	service  string
	consumer *consumer.Consumer
}

// Service returns the name of the service.
func (w *Worker) Service() string { return w.service }

// ID returns the identifier of the worker, which is new at each start.
func (w *Worker) ID() string { return w.consumer.Worker() }

// Resize changes the number of requests that the worker runs at the same time. Running
// requests are not stopped. With 0, the worker reads no more requests and stays
// registered.
func (w *Worker) Resize(n int) { w.consumer.Resize(n) }

// role returns the name that `mailroom acl` uses for a process with these services.
func role(services []*Service) string {
	names := make([]string, len(services))
	for i, s := range services {
		names[i] = s.name
	}
	return "worker " + strings.Join(names, " ")
}

// cacheAccess is the access of a process to the cache.
type cacheAccess struct {
	conn        *bus.Conn // of the bus, or its own
	invalidator *cache.Invalidator
	close       func()
}

// connectCache opens the access by which the services invalidate cached answers.
func connectCache(conn *bus.Conn, cfg Config) (cacheAccess, error) {
	own := conn
	var err error
	if cfg.CacheRedisURL != "" {
		own, err = bus.Connect(cfg.CacheRedisURL, bus.Options{
			Namespace: conn.Keys.Namespace(), Logger: cfg.Logger, Credentials: cfg.CacheCredentials,
		})
		if err != nil {
			return cacheAccess{}, fmt.Errorf("connect to the cache: %w", err)
		}
	}
	rdb := own.NewClient() // its own connections, so that a slow cache does not block the bus
	invalidator := cache.NewInvalidator(rdb, cache.Config{Namespace: conn.Keys.Namespace(), Logger: cfg.Logger}, cfg.OnCacheBehind)
	return cacheAccess{conn: own, invalidator: invalidator, close: func() {
		invalidator.Close()
		_ = rdb.Close()
		if own != conn {
			_ = own.Close()
		}
	}}, nil
}

func manifestsOf(services []*Service) ([]*wire.Manifest, error) {
	if len(services) == 0 {
		return nil, errors.New("no service to run: pass at least one to Run")
	}
	var faults []error
	manifests := make([]*wire.Manifest, len(services))
	names := make(map[string]bool)
	for i, s := range services {
		if names[s.name] {
			faults = append(faults, fmt.Errorf("service %s is passed twice", s.name))
		}
		names[s.name] = true
		m, err := s.declare()
		if err != nil {
			faults = append(faults, err)
		}
		manifests[i] = m
	}
	return manifests, errors.Join(faults...)
}

func newConsumer(conn *bus.Conn, cfg Config, s *Service, m *wire.Manifest, invalidator *cache.Invalidator, calls *calls, o observer) (*consumer.Consumer, error) {
	concurrency := s.concurrency
	if concurrency == 0 {
		concurrency = cfg.Concurrency
	}
	e := newExecutor(s, cfg.Logger, conn.Clock.Now)
	e.invalidator, e.calls = invalidator, calls
	w := &Worker{service: s.name}
	own := consumer.Config{
		Manifest: m, Concurrency: concurrency, IdleLimit: cfg.IdleLimit, Tracer: calls.tracer,
		MaxAttempts: cfg.MaxAttempts, DrainLimit: cfg.DrainLimit, Remote: s.remote, Run: e.run,
		OnRegistered: func() {
			if cfg.OnStart != nil {
				cfg.OnStart(w)
			}
		},
	}
	if o.needed() {
		own.Ended = func(d *consumer.Delivery, ended *consumer.Ended) { o.ended(w.ID(), d, ended) }
	}
	var err error
	w.consumer, err = consumer.New(conn, own)
	return w.consumer, err
}
