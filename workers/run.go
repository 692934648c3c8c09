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
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/cache"
	"github.com/oskadev/mailroom/internal/busctx"
	"github.com/oskadev/mailroom/internal/call"
)

// Config of a worker process.
type Config struct {
	// RedisURL is the address of the bus: redis://, rediss:// (TLS),
	// redis+cluster://h1:p1,h2:p2 or redis+sentinel://h1:p1,h2:p2/MASTER. Required.
	RedisURL string
	// Credentials prove who the process is, beside the URL. Defaults to none.
	Credentials Credentials
	// Namespace is the prefix of all keys. Defaults to "mailroom".
	Namespace string
	// Logger defaults to slog.Default().
	Logger *slog.Logger
	// Concurrency is how many requests of one service run at once, unless the service
	// says otherwise. Defaults to 64.
	Concurrency int
	// IdleLimit is how long a request may be without a sign of life from its worker
	// before another worker takes it; at least 100 ms. All workers of a service must
	// have the same. Defaults to 3 s.
	IdleLimit time.Duration
	// MaxAttempts is how often a request is delivered before it becomes a dead letter.
	// Defaults to 5.
	MaxAttempts int
	// DrainLimit is how long running requests may take after ctx has ended, before
	// their own contexts end. Defaults to 20 s.
	DrainLimit time.Duration
	// CacheRedisURL is the address of the cache. Defaults to the Redis of the bus.
	CacheRedisURL string
	// CacheCredentials prove there who the process is. Defaults to none.
	CacheCredentials Credentials
	// OnCacheBehind, when set, is called with the number of tags that could not be
	// invalidated yet, because the cache's Redis is away, whenever it changes: a gauge.
	// Until it is 0 again, stale answers may be given until their TTL.
	OnCacheBehind func(tags int)
	// OnReady, when set, is called once Redis has been reached.
	OnReady func()
}

// Run serves the services until ctx ends, and then drains: no more requests are
// read, running ones finish, outcomes are settled. It waits for a Redis that is not
// reachable yet. It returns an error when Redis refuses the process (a
// RefusedError), or when a service is not declared correctly; that error names every
// fault.
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
	shared, err := connectCache(conn, cfg) //nolint:contextcheck // it lives until it is closed
	if err != nil {
		return err
	}
	defer shared.close()
	consumers := make([]*consumer.Consumer, len(services))
	for i, s := range services {
		own := &calls{cfg: call.OpenConfig{Conn: conn, CacheConn: shared.conn, Role: s.name, Logger: cfg.Logger}}
		defer own.close()
		if consumers[i], err = newConsumer(conn, cfg, s, manifests[i], shared.invalidator, own); err != nil {
			return err
		}
	}
	if err := conn.WaitReady(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // told to stop before there was anything to do
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

// role is how `mailroom acl` names a process with these services.
func role(services []*Service) string {
	names := make([]string, len(services))
	for i, s := range services {
		names[i] = s.name
	}
	return "worker " + strings.Join(names, " ")
}

// cacheAccess is the connection of a process to the cache.
type cacheAccess struct {
	conn        *bus.Conn // that of the bus, or one of its own
	invalidator *cache.Invalidator
	close       func()
}

// connectCache opens what the services invalidate cached answers by.
func connectCache(conn *bus.Conn, cfg Config) (cacheAccess, error) {
	own := conn
	var err error
	if cfg.CacheRedisURL != "" {
		own, err = bus.Connect(cfg.CacheRedisURL, bus.Options{
			Namespace: conn.Keys.Namespace(), Logger: cfg.Logger, Credentials: cfg.CacheCredentials,
		})
		if err != nil {
			return cacheAccess{}, fmt.Errorf("the cache: %w", err)
		}
	}
	rdb := own.NewClient() // a slow cache takes no connection from the bus
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
		return nil, errors.New("no service to run")
	}
	var faults []error
	manifests := make([]*wire.Manifest, len(services))
	names := make(map[string]bool)
	for i, s := range services {
		if names[s.name] {
			faults = append(faults, fmt.Errorf("service %s is given twice", s.name))
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

func newConsumer(conn *bus.Conn, cfg Config, s *Service, m *wire.Manifest, invalidator *cache.Invalidator, own *calls) (*consumer.Consumer, error) {
	concurrency := s.concurrency
	if concurrency == 0 {
		concurrency = cfg.Concurrency
	}
	e := newExecutor(s, cfg.Logger, conn.Clock.Now)
	e.invalidator, e.calls = invalidator, own
	return consumer.New(conn, consumer.Config{
		Manifest: m, Concurrency: concurrency, IdleLimit: cfg.IdleLimit,
		MaxAttempts: cfg.MaxAttempts, DrainLimit: cfg.DrainLimit, Run: e.run,
	})
}
