package cli

import (
	"context"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/oskadev/mailroom/api"
	"github.com/oskadev/mailroom/devredis"
	"github.com/oskadev/mailroom/examples/shop"
	"github.com/oskadev/mailroom/internal/busctx"
	"github.com/oskadev/mailroom/workers"
)

type devCommand struct {
	commonFlags
	gatewayFlags
}

// Run runs gateway, Redis and example services until the context ends.
func (c *devCommand) Run(ctx context.Context, p *program) error {
	if c.Auth == "" {
		c.Auth = api.AuthNone
	}
	if c.Versions == "" {
		c.versionsText = shop.Versions
	}
	log := c.logger(p)
	defer startTraces(ctx, "dev", c.Drain, log)()
	ln, err := c.listen(ctx)
	if err != nil {
		return err
	}
	redis, err := devredis.Start()
	if err != nil {
		return err
	}
	defer redis.Close()
	conn, err := c.connect(&redisFlags{Redis: redis.URL()}, "", log)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	c.ownOps = true
	server, err := c.server(ctx, conn, tlsFlags{}, log)
	if err != nil {
		return err
	}
	defer server.Close()
	examples := newExamples(conn, c.Namespace)
	if err := examples.seed(ctx, examples.all); err != nil {
		return err
	}

	// The workers stop after the gateway, which still waits for their replies.
	working, stopWorkers := context.WithCancel(context.WithoutCancel(ctx))
	group, serving := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer stopWorkers()
		return server.Serve(serving, ln)
	})
	group.Go(func() error {
		return workers.Run(busctx.With(working, conn), workers.Config{History: orNone(c.History), DrainLimit: c.Drain, Logger: quiet(log), CacheRedisURL: c.CacheRedis, CacheCredentials: c.cacheCredentials(tlsFlags{})}, examples.all...)
	})
	if waitServed(serving, server, examples.all) == nil {
		c.greet(p, ln.Addr().String(), redis.URL())
	}
	return group.Wait()
}

// waitServed waits until the gateway routes to every service.
func waitServed(ctx context.Context, server *api.Server, services []*workers.Service) error {
	names := make([]string, len(services))
	for i, s := range services {
		names[i] = s.Name()
	}
	for !server.Serves(names...) {
		if err := waitShort(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (c *devCommand) greet(p *program, address, redis string) {
	p.printf(`Mailroom is listening on http://%[1]s

Try:
  curl http://%[1]s/users/1
  curl http://%[1]s/users/2/purchasable
  curl --json '{"name":"Ada","email":"ada@example.com"}' http://%[1]s/users

Console: http://%[1]s/console/

Its embedded Redis serves other commands too:
  mailroom services --redis %[2]s
  mailroom top --redis %[2]s
Its data is lost when it stops. Press Ctrl-C to stop. %[3]s
`, address, redis, c.greeting(redis))
}

// quiet drops records below warn: in dev, a line for each worker that starts
// would hide the greeting.
func quiet(log *slog.Logger) *slog.Logger { return slog.New(atLeast{log.Handler(), slog.LevelWarn}) }

// atLeast is a handler with a lowest level of its own.
type atLeast struct {
	slog.Handler
	level slog.Level
}

// Enabled reports whether both the level and the handler let a record pass.
func (h atLeast) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= h.level && h.Handler.Enabled(ctx, level)
}

// waitShort waits 20 ms, or returns the error of the context.
func waitShort(ctx context.Context) error {
	t := time.NewTimer(20 * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
