package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/examples/conformance"
	"github.com/oskadev/mailroom/examples/echo"
	"github.com/oskadev/mailroom/examples/shop"
	"github.com/oskadev/mailroom/internal/busctx"
	"github.com/oskadev/mailroom/workers"
)

// demoCommand runs the example services.
type demoCommand struct {
	Worker workerCommand `cmd:"" help:"Run workers of the example services, all or the named ones."`
}

type workerCommand struct {
	commonFlags
	redisFlags
	cacheFlags
	Name        []string      `arg:"" optional:"" help:"Services to run: users, items, vouchers, payments, echo (default: all of these), conformance."`
	Concurrency int           `default:"64" help:"Requests of each service that run at once."`
	IdleLimit   time.Duration `default:"3s" help:"Time without a heartbeat after which another worker takes a request; from 100ms, the same for all workers of a service."`
	MaxAttempts int           `default:"5" help:"Deliveries of a request before it becomes a dead letter."`
	Drain       time.Duration `default:"20s" help:"Time for running requests to end after a stop signal."`
	History     int           `default:"1000" help:"Requests of each service that ended last and are kept for operators, about; 0: none."`
	OpsListen   string        `placeholder:"ADDRESS" help:"Address to serve /metrics, /healthz and /readyz on, for operators; off: nowhere (default: off)."`
}

// Run serves until the context ends.
func (c *workerCommand) Run(ctx context.Context, p *program) error {
	log := c.logger(p)
	credentials := c.cacheCredentials(c.tlsFlags)
	if err := c.check(credentials); err != nil {
		return err
	}
	defer startTraces(ctx, "worker", c.Drain, log)()
	conn, err := c.connect(&c.redisFlags, c.role(), log)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	examples := newExamples(conn, c.Namespace, echo.WithExit())
	services, err := examples.named(c.Name)
	if err != nil {
		return usage(err)
	}
	if err := conn.WaitReady(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // stopped before Redis was ready
		}
		return err
	}
	if err := examples.seed(ctx, services); err != nil {
		return err
	}
	return workers.Run(busctx.With(ctx, conn), workers.Config{
		Logger: log, Concurrency: c.Concurrency, IdleLimit: c.IdleLimit,
		MaxAttempts: c.MaxAttempts, DrainLimit: c.Drain, OpsListen: opsAddress(c.OpsListen), History: orNone(c.History), CacheRedisURL: c.CacheRedis, CacheCredentials: credentials,
	}, services...)
}

// role returns the arguments of "mailroom acl" that give this process its rights.
func (c *workerCommand) role() string {
	names := c.Name
	if len(names) == 0 {
		names = []string{"users", "items", "vouchers", "payments", "echo"}
	}
	return "worker " + strings.Join(names, " ")
}

// examples are the example services of this binary.
type examples struct {
	shop *shop.Shop
	all  []*workers.Service
}

func newExamples(conn *bus.Conn, namespace string, options ...echo.Option) *examples {
	e := &examples{shop: shop.New(conn.Redis(), namespace)}
	e.all = append(e.shop.Services(), echo.Service(conn.Redis(), namespace, options...))
	return e
}

// named returns the services of these names, and all without names.
func (e *examples) named(names []string) ([]*workers.Service, error) {
	if len(names) == 0 {
		return e.all, nil
	}
	var known []string
	picked := make([]*workers.Service, 0, len(names))
	for _, s := range append(e.all, conformance.Service()) {
		known = append(known, s.Name())
		if slices.Contains(names, s.Name()) {
			picked = append(picked, s)
		}
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("unknown service %q; the example services are %s", name, strings.Join(known, ", "))
		}
	}
	return picked, nil
}

// seed writes the first records of the shop's services where there are none.
func (e *examples) seed(ctx context.Context, services []*workers.Service) error {
	var names []string
	for _, s := range services {
		if s.Name() != "echo" && s.Name() != "conformance" {
			names = append(names, s.Name())
		}
	}
	if len(names) == 0 {
		return nil
	}
	return e.shop.Seed(ctx, names...)
}
