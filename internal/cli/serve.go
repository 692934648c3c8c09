package cli

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os/exec"
	"time"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/internal/child"
	"github.com/oskadev/mailroom/internal/host"
	"github.com/oskadev/mailroom/internal/workmetrics"
)

// serveCommand runs a worker in any language as a child process.
type serveCommand struct {
	commonFlags
	redisFlags
	cacheFlags
	Command     []string      `arg:"" optional:"" placeholder:"CMD" help:"The worker: a program and its arguments, after --."`
	Children    int           `default:"1" help:"Processes of the worker."`
	Concurrency int           `default:"64" help:"Requests that run at once in each process, if the worker does not say."`
	IdleLimit   time.Duration `default:"3s" help:"Time without a heartbeat after which another worker takes a request; from 100ms, the same for all workers of a service."`
	MaxAttempts int           `default:"5" help:"Deliveries of a request before it becomes a dead letter."`
	History     int           `default:"1000" help:"Requests of each service that ended last and are kept for operators, about; 0: none."`
	OpsListen   string        `placeholder:"ADDRESS" help:"Address to serve /metrics, /healthz and /readyz on, for operators; off: nowhere (default: off)."`
	Drain       time.Duration `default:"20s" help:"Time for running requests to end after a stop signal, and for a worker to end a run past its deadline before it is killed."`
}

// linger is how long a service stays registered while its last process is started again.
const linger = 3 * time.Second

// Run serves until the context ends.
func (c *serveCommand) Run(ctx context.Context, p *program) error {
	if len(c.Command) == 0 {
		return usage(errors.New("name the command of the worker, such as: mailroom serve -- node worker.mjs"))
	}
	if c.Children < 1 || c.Concurrency < 1 {
		return usage(errors.New("--children and --concurrency have to be at least 1"))
	}
	log := c.logger(p)
	credentials := c.cacheCredentials(c.tlsFlags)
	if err := c.check(credentials); err != nil {
		return err
	}
	defer startTraces(ctx, "serve", c.Drain, log)()
	conn, err := c.connect(&c.redisFlags, "worker NAME", log)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	meter, stopOps, err := c.serveOps(ctx, conn, log)
	if err != nil {
		return err
	}
	defer stopOps()
	h := host.New(host.Config{
		Conn: conn, Meter: meter, History: orNone(c.History), Log: log, Concurrency: c.Concurrency, Linger: linger,
		IdleLimit: c.IdleLimit, MaxAttempts: c.MaxAttempts, DrainLimit: c.Drain,
		CacheRedisURL: c.CacheRedis, CacheCredentials: credentials,
	})
	defer h.Close()
	err = child.Supervise(ctx, child.Config{Command: c.Command, Children: c.Children, Host: h, Log: log})
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return usage(err)
	}
	return err
}

// serveOps serves the pages of the operator, where a flag asks for them.
func (c *serveCommand) serveOps(ctx context.Context, conn *bus.Conn, log *slog.Logger) (*workmetrics.Meter, func(), error) {
	address := opsAddress(c.OpsListen)
	if address == "" {
		return nil, func() {}, nil
	}
	return workmetrics.Serve(ctx, address, func() error { return conn.Ping(ctx) }, log)
}
