package call

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/registry"
	"github.com/oskadev/mailroom/cache"
)

// localBytes bounds the local cache entries of a process that is not a gateway.
const localBytes = 16 << 20

// OpenConfig says on whose behalf a process calls. Conn, CacheConn and Role are
// required.
type OpenConfig struct {
	// Conn is the connection to the bus, CacheConn that to the cache's Redis.
	Conn, CacheConn *bus.Conn
	// Role is the service that calls, or wire.RoleAPI.
	Role string
	// Logger defaults to slog.Default().
	Logger *slog.Logger
}

// Process is a Caller with a client, a registry and a cache of its own, for
// processes that are not gateways.
type Process struct {
	*Caller
	client *caller.Client
	close  func()
}

// Open starts a Process. Close it after its last call.
func Open(cfg OpenConfig) (*Process, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	rdb := cfg.CacheConn.NewClient() // a slow cache takes no connection from the bus
	shared, err := cache.New(rdb, cache.Config{Namespace: cfg.Conn.Keys.Namespace(), LocalBytes: localBytes, Logger: cfg.Logger})
	if err != nil {
		_ = rdb.Close()
		return nil, fmt.Errorf("open the cache: %w", err)
	}
	client := caller.New(cfg.Conn, caller.Config{Role: cfg.Role})
	services := registry.NewFollower(cfg.Conn)
	ctx, stop := context.WithCancel(context.Background())
	var looking sync.WaitGroup
	looking.Go(func() { services.Run(ctx) })
	return &Process{
		Caller: New(Config{Client: client, Find: services.Follow, Cache: shared, Logger: cfg.Logger}),
		client: client,
		close: func() {
			stop()
			looking.Wait()
			shared.Close()
			client.Close()
			_ = rdb.Close()
		},
	}, nil
}

// WaitReady waits until replies would be heard, or the context ends. Where Redis
// refuses the process it returns a bus.RefusedError at once.
func (p *Process) WaitReady(ctx context.Context) error { return p.client.WaitReady(ctx) }

// Record returns what became of a request; see caller.FindRecord.
func (p *Process) Record(ctx context.Context, service, id string) (caller.Record, error) {
	return p.client.Record(ctx, service, id)
}

// Cancel cancels a request that no worker has read yet.
func (p *Process) Cancel(ctx context.Context, service, id string) (caller.Record, error) {
	return p.client.Cancel(ctx, service, id)
}

// waitLimit bounds one wait for the message that a request has ended; then its record
// is read again.
const waitLimit = time.Minute

// Await waits until a request has ended, or the context ends.
func (p *Process) Await(ctx context.Context, service, id string) (caller.Record, error) {
	for {
		watching, record, err := p.client.Watch(ctx, service, id)
		if watching == nil {
			return record, err
		}
		_, err = watching.Wait(ctx, waitLimit)
		watching.Close()
		if err != nil {
			return caller.Record{}, err
		}
		if record, err = p.client.Record(ctx, service, id); err != nil || record.Ended() {
			return record, err
		}
	}
}

// Close ends the process's calls: those that still wait fail.
func (p *Process) Close() { p.close() }
