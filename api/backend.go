package api

import (
	"fmt"
	"log/slog"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/registry"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/cache"
	calls "github.com/oskadev/mailroom/internal/call"
)

// backend is the connection of a gateway to the services.
type backend struct {
	conn     *bus.Conn
	client   *caller.Client
	registry *registry.Registry
	caller   *calls.Caller
	shared   *cache.Cache
	limit    *calls.Limit
	close    func()
}

// invalidations hears of invalidated tags.
type invalidations interface {
	Dropped(service string, tags []string)
	Missed()
}

// newBackend opens a client, a registry and the shared cache. It calls changed with the
// services whenever they change.
func newBackend(conn *bus.Conn, cfg *Config, find calls.Finder, changed func(registry.Snapshot), stale invalidations, invalid func(service string), log *slog.Logger) (*backend, error) {
	shared, closeCache, err := openCache(conn, cfg, stale, log)
	if err != nil {
		return nil, err
	}
	b := &backend{conn: conn, shared: shared, limit: calls.NewLimit(cfg.InFlight), registry: registry.New(conn, changed)}
	b.client = caller.New(conn, caller.Config{MailboxLimit: cfg.MailboxLimit, StoredLimit: cfg.StoredLimit, AdmitLate: cfg.AdmitLate, MinReplicas: cfg.MinReplicas})
	b.caller = calls.New(calls.Config{Client: b.client, Cache: shared, Limit: b.limit, Find: find, OnInvalid: invalid, Logger: log})
	b.close = func() {
		closeCache()
		b.client.Close()
	}
	return b, nil
}

// openCache opens the shared cache, on the Redis of the bus or on its own.
func openCache(conn *bus.Conn, cfg *Config, stale invalidations, log *slog.Logger) (shared *cache.Cache, closeCache func(), err error) {
	own, namespace := conn, conn.Keys.Namespace()
	if cfg.CacheRedisURL != "" {
		own, err = bus.Connect(cfg.CacheRedisURL, bus.Options{Namespace: namespace, Logger: log, Role: wire.RoleAPI, Credentials: cfg.CacheCredentials})
		if err != nil {
			return nil, nil, fmt.Errorf("open the cache: %w", err)
		}
	}
	rdb := own.NewClient() // a slow cache takes no connection from the bus
	closeRedis := func() {
		_ = rdb.Close()
		if own != conn {
			_ = own.Close()
		}
	}
	shared, err = cache.New(rdb, cache.Config{Namespace: namespace, LocalBytes: cfg.LocalBytes, Timeout: cfg.CacheTimeout, OnDropped: stale.Dropped, OnGap: stale.Missed, Scripts: own.ScriptCaller, Logger: log})
	if err != nil {
		closeRedis()
		return nil, nil, fmt.Errorf("open the cache: %w", err)
	}
	return shared, func() {
		shared.Close()
		closeRedis()
	}, nil
}

// ready reports whether services can be called: replies are received, and the services and
// the secret of the gateways are known.
func (b *backend) ready() bool {
	return b.client.Ready() && b.client.Secret() != nil && b.registry.Looked()
}
