package cli

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/oskadev/mailroom/api"
	"github.com/oskadev/mailroom/bus"
)

// gatewayFlags are those of a gateway.
type gatewayFlags struct {
	cacheFlags
	edgeFlags
	authFlags
	Listen       string        `default:"127.0.0.1:8080" help:"Address to serve HTTP on."`
	Versions     string        `placeholder:"FILE" help:"Which versions of the API there are, and what they are composed of. It is read again when it changes."`
	BodyLimit    int           `default:"1048576" help:"Largest request body, in bytes."`
	MailboxLimit int64         `default:"100000" help:"Requests that may wait for one service before more are refused."`
	Admission    bool          `default:"true" negatable:"" help:"Refuse requests that, by the measured rate, no worker could reach in time."`
	MinReplicas  int           `default:"0" help:"Replicas of Redis that have to hold the outcome of an unsafe request before it is answered."`
	NearBytes    int64         `default:"67108864" help:"Memory for this process's own copies of cached answers; 0: none are kept."`
	ExposeWorker bool          `default:"true" negatable:"" help:"Say in a header which worker answered."`
	Drain        time.Duration `default:"20s" help:"How long what is under way may take when told to stop."`

	versionsText []byte // instead of a file
}

func (f *gatewayFlags) server(conn *bus.Conn, tls tlsFlags, log *slog.Logger) (*api.Server, error) {
	credentials := f.cacheCredentials(tls)
	if err := f.check(credentials); err != nil {
		return nil, err
	}
	if f.NearBytes == 0 {
		f.NearBytes = -1
	}
	cfg := api.Config{
		Auth: f.Auth, Tokens: f.tokens(), CacheRedisURL: f.CacheRedis, CacheCredentials: credentials, NearBytes: f.NearBytes,
		BodyLimit: f.BodyLimit, MailboxLimit: f.MailboxLimit, AdmitLate: !f.Admission, MinReplicas: f.MinReplicas,
		VersionsFile: f.Versions, Versions: f.versionsText, HideWorker: !f.ExposeWorker, DrainLimit: f.Drain, Logger: log,
	}
	if err := f.apply(&cfg); err != nil {
		return nil, &exitError{code: exitUsage, err: err}
	}
	server, err := api.New(conn, cfg)
	if err != nil {
		return nil, &exitError{code: exitUsage, err: err}
	}
	return server, nil
}

func (f *gatewayFlags) listen(ctx context.Context) (net.Listener, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", f.Listen)
	if err != nil {
		return nil, fmt.Errorf("--listen %s: %w", f.Listen, err)
	}
	return ln, nil
}

type apiCommand struct {
	commonFlags
	redisFlags
	gatewayFlags
}

// Run serves until the context ends.
func (c *apiCommand) Run(ctx context.Context, p *program) error {
	if c.Auth == "" {
		return errNoAuth()
	}
	log := c.logger(p)
	conn, err := c.connect(&c.redisFlags, bus.RoleAPI, log)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	server, err := c.server(conn, c.tlsFlags, log)
	if err != nil {
		return err
	}
	ln, err := c.listen(ctx)
	if err != nil {
		return err
	}
	log.InfoContext(ctx, "gateway listens", "address", ln.Addr().String(), "auth", string(c.Auth))
	// It serves /healthz while Redis is still away. A Redis that refuses it ends it.
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return server.Serve(ctx, ln) })
	group.Go(func() error {
		switch err := conn.WaitReady(ctx); {
		case err == nil:
			log.InfoContext(ctx, "Redis is reachable", "redis", conn.Address())
			return nil
		case ctx.Err() != nil:
			return nil //nolint:nilerr // told to stop meanwhile
		default:
			return err
		}
	})
	return group.Wait()
}
