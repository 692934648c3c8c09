package cli

import (
	"context"

	"golang.org/x/sync/errgroup"

	"github.com/oskadev/mailroom/api"
	"github.com/oskadev/mailroom/devredis"
	"github.com/oskadev/mailroom/examples/shop"
	"github.com/oskadev/mailroom/workers"
)

type devCommand struct {
	commonFlags
	gatewayFlags
}

// Run is everything in one process, until the context ends.
func (c *devCommand) Run(ctx context.Context, p *program) error {
	if c.Auth == "" {
		c.Auth = api.AuthNone
	}
	if c.Versions == "" {
		c.versionsText = shop.Versions
	}
	log := c.logger(p)
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
	server, err := c.server(conn, tlsFlags{}, log)
	if err != nil {
		return err
	}
	examples := newExamples(conn, c.Namespace)
	if err := examples.seed(ctx, examples.all); err != nil {
		return err
	}

	// The workers stop after the gateway: it still waits for their answers.
	working, stopWorkers := context.WithCancel(context.WithoutCancel(ctx))
	group, serving := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer stopWorkers()
		return server.Serve(serving, ln)
	})
	group.Go(func() error {
		return workers.RunConfig(working, workers.Config{Conn: conn, DrainLimit: c.Drain, Logger: quiet(log), CacheRedisURL: c.CacheRedis, CacheCredentials: c.cacheCredentials(tlsFlags{})}, examples.all...)
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

Its embedded Redis is %[2]s, for example:
  mailroom services --redis %[2]s
It forgets everything at the end. Ctrl-C ends it. %[3]s
`, address, redis, c.whoMayCall(redis))
}
