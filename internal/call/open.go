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
	"github.com/oskadev/mailroom/internal/backoff"
)

// localBytes bounds the local cache entries of a process that is not a gateway.
const localBytes = 16 << 20

// OpenConfig configures a Process. Conn, CacheConn and Role are required.
type OpenConfig struct {
	// Conn is the connection to the bus.
	Conn *bus.Conn
	// CacheConn is the connection to the Redis of the cache.
	CacheConn *bus.Conn
	// Role is the service that calls, or wire.RoleAPI.
	Role string
	// Logger defaults to slog.Default().
	Logger *slog.Logger
}

// Process is a Caller with its own client, registry and cache, for a process that is not a
// gateway.
type Process struct {
	*Caller
	client *caller.Client
	close  func()
}

// Open starts a Process. Close it after the last call.
func Open(cfg OpenConfig) (*Process, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	rdb := cfg.CacheConn.NewClient() // a slow cache takes no connection from the bus
	shared, err := cache.New(rdb, cache.Config{Namespace: cfg.Conn.Keys.Namespace(), LocalBytes: localBytes, Scripts: cfg.CacheConn.ScriptCaller, Logger: cfg.Logger})
	if err != nil {
		_ = rdb.Close()
		return nil, fmt.Errorf("open the cache: %w", err)
	}
	client := caller.New(cfg.Conn, caller.Config{Role: cfg.Role})
	services := registry.NewFollower(cfg.Conn)
	ctx, stop := context.WithCancel(context.Background())
	var background sync.WaitGroup
	background.Go(func() { services.Run(ctx) })
	return &Process{
		Caller: New(Config{Client: client, Find: services.Follow, Cache: shared, Logger: cfg.Logger}),
		client: client,
		close: func() {
			stop()
			background.Wait()
			shared.Close()
			client.Close()
			_ = rdb.Close()
		},
	}, nil
}

// WaitReady waits until the process receives replies, or the context ends. It returns a
// bus.RefusedError at once where Redis refuses the process.
func (p *Process) WaitReady(ctx context.Context) error { return p.client.WaitReady(ctx) }

// Record returns the state of a request; see caller.FindRecord.
func (p *Process) Record(ctx context.Context, service, id string) (caller.Record, error) {
	return p.client.Record(ctx, service, id)
}

// Cancel cancels a request that no worker has read.
func (p *Process) Cancel(ctx context.Context, service, id string) (caller.Record, error) {
	return p.client.Cancel(ctx, service, id)
}

// waitLimit bounds one wait for the message that a request has ended. After it, the record
// is read again.
const waitLimit = time.Minute

// Await waits until a request has ended, or the context ends, and returns its record.
func (p *Process) Await(ctx context.Context, service, id string) (caller.Record, error) {
	for {
		watch, record, err := p.client.Watch(ctx, service, id)
		if watch == nil {
			return record, err
		}
		_, err = watch.Wait(ctx, waitLimit)
		watch.Close()
		if err != nil {
			return caller.Record{}, err
		}
		if record, err = p.client.Record(ctx, service, id); err != nil || record.Ended() {
			return record, err
		}
	}
}

// secretLook is the time between two looks for the secret.
const secretLook = 5 * time.Millisecond

// Secret waits for the secret that gateways share, or for the end of the context. An ID
// made with it cannot be guessed from its other parts. Only a process with
// wire.RoleAPI gets it.
func (p *Process) Secret(ctx context.Context) ([]byte, error) {
	for {
		if secret := p.client.Secret(); secret != nil {
			return secret, nil
		}
		if err := backoff.Pause(ctx, secretLook); err != nil {
			return nil, err
		}
	}
}

// Close closes the process. Calls that still wait fail.
func (p *Process) Close() { p.close() }
