package cli

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/oskadev/mailroom/api"
	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/busctx"
	"github.com/oskadev/mailroom/internal/ops"
)

// gatewayFlags are the flags of commands that run a gateway.
type gatewayFlags struct {
	cacheFlags
	edgeFlags
	authFlags
	Listen       string        `default:"127.0.0.1:8080" help:"Address to serve HTTP on."`
	Versions     string        `placeholder:"FILE" help:"Versions file; read again when it changes, and on SIGHUP (default in dev: the shop example's)."`
	BodyLimit    int           `default:"1048576" help:"Maximum size of a request body, in bytes."`
	MailboxLimit int64         `default:"100000" help:"Maximum number of requests that wait for one service; more are rejected."`
	StoredLimit  string        `default:"auto" help:"Bytes that requests and outcomes may take in Redis for one service, such as 200MiB. One principal may have a quarter, and all of it while no other has any. auto: 40 % of maxmemory; none: no limit."`
	Admission    bool          `default:"true" negatable:"" help:"Reject requests that, at the measured rate, no worker can reach before their deadline."`
	MinReplicas  string        `default:"0" help:"Number of Redis replicas that must hold the outcome of an unsafe request before its caller gets it. While fewer are connected, unsafe requests are refused. all: all that are connected, and at least one."`
	NearBytes    int64         `default:"67108864" help:"Memory for local cache entries, in bytes; 0 keeps none."`
	History      int           `default:"1000" help:"Requests of each service on a socket, and compositions, that ended last and are kept for operators, about; 0: none."`
	AccessLog    int           `default:"0" help:"Maximum number of answered requests that are logged in a second; 0: none."`
	Console      bool          `help:"Serve the console for operators at /console of the gateway too, for API keys with the scope console:read."`
	Mask         []string      `sep:"," placeholder:"RULE" help:"Members of arguments and outcomes that the console hides, as SERVICE.ACTION.MEMBER with *, such as users.*.email."`
	ExposeWorker bool          `default:"true" negatable:"" help:"Send the headers Mailroom-Worker and Mailroom-Attempt."`
	DrainDelay   time.Duration `default:"0s" help:"Time after a stop signal in which the gateway still serves, while /readyz answers 503, so that load balancers notice."`
	Drain        time.Duration `default:"20s" help:"Time for running requests to end after a stop signal."`

	versionsText []byte // a versions file in place of Versions
	ownOps       bool   // the gateway serves the pages of the operator itself
}

// server makes a gateway.
func (f *gatewayFlags) server(ctx context.Context, conn *bus.Conn, tls tlsFlags, log *slog.Logger) (*api.Server, error) {
	credentials := f.cacheCredentials(tls)
	err := f.check(credentials)
	if err != nil {
		return nil, err
	}
	cfg := api.Config{
		Auth: f.Auth, PublicDocs: f.PublicDocs, Tokens: f.tokens(), CacheRedisURL: f.CacheRedis, CacheCredentials: credentials, LocalBytes: orNone(f.NearBytes), History: orNone(f.History), AccessLog: f.AccessLog,
		BodyLimit: f.BodyLimit, MailboxLimit: f.MailboxLimit, AdmitLate: !f.Admission,
		OwnOps: f.ownOps, Console: f.Console, VersionsFile: f.Versions, Versions: f.versionsText, HideWorker: !f.ExposeWorker, DrainDelay: f.DrainDelay, DrainLimit: f.Drain, Logger: log,
	}
	for _, text := range f.Mask {
		mask, err := api.ParseMask(text)
		if err != nil {
			return nil, usage(named("--mask", err))
		}
		cfg.Masks = append(cfg.Masks, mask)
	}
	if cfg.StoredLimit, err = parseStoredLimit(f.StoredLimit); err != nil {
		return nil, usage(named("--stored-limit", err))
	}
	if cfg.MinReplicas, err = parseMinReplicas(f.MinReplicas); err != nil {
		return nil, usage(named("--min-replicas", err))
	}
	if err := f.apply(&cfg); err != nil {
		return nil, usage(err)
	}
	server, err := api.New(busctx.With(ctx, conn), cfg)
	if err != nil {
		return nil, usage(err)
	}
	return server, nil
}

// parseStoredLimit returns the field StoredLimit of a config.
func parseStoredLimit(text string) (int64, error) {
	switch text {
	case "auto":
		return 0, nil
	case "none":
		return -1, nil
	}
	number, unit := text, int64(1)
	for name, size := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
		if before, found := strings.CutSuffix(text, name); found {
			number, unit = before, size
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 1 || n > math.MaxInt64/2/unit {
		return 0, fmt.Errorf("%.40q: want auto, none, or a number of bytes, KiB, MiB or GiB", text)
	}
	return n * unit, nil
}

// parseMinReplicas returns the field MinReplicas of a config.
func parseMinReplicas(text string) (int, error) {
	if text == "all" {
		return api.AllReplicas, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%.40q: want all, or a number of replicas", text)
	}
	return n, nil
}

// orNone returns the value of a config field for a flag whose 0 means none: negative.
func orNone[T int | int64](n T) T {
	if n == 0 {
		return -1
	}
	return n
}

// checkListen reports a wrong address of --listen before it is opened.
func (f *gatewayFlags) checkListen() error {
	if _, err := net.ResolveTCPAddr("tcp", f.Listen); err != nil {
		return usage(fmt.Errorf("--listen %s: %w", f.Listen, err))
	}
	return nil
}

// listen opens the address of --listen.
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
	opsFlags
}

// Run serves until the context ends.
func (c *apiCommand) Run(ctx context.Context, p *program) error {
	if c.Auth == "" {
		return errNoAuth()
	}
	if err := c.checkListen(); err != nil {
		return err
	}
	log := c.logger(p)
	defer startTraces(ctx, "api", c.Drain, log)()
	conn, err := c.connect(&c.redisFlags, wire.RoleAPI, log)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	server, err := c.server(ctx, conn, c.tlsFlags, log)
	if err != nil {
		return err
	}
	defer server.Close()
	operator, err := c.listenOps(ctx, log)
	if err != nil {
		return err
	}
	// The pages of the operator are served before Redis is reachable. A Redis that refuses the
	// gateway ends it.
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return server.ServeWhenReady(ctx, func(ctx context.Context) (net.Listener, error) {
			ln, err := c.listen(ctx)
			if err == nil {
				log.InfoContext(ctx, "gateway listens", "address", ln.Addr().String(), "auth", string(c.Auth))
			}
			return ln, err
		})
	})
	if operator != nil {
		group.Go(func() error { return ops.Serve(ctx, operator, server.Ops(), log) })
	}
	group.Go(func() error {
		switch err := conn.WaitReady(ctx); {
		case err == nil:
			log.InfoContext(ctx, "Redis is reachable", "redis", conn.Address())
			return nil
		case ctx.Err() != nil:
			return nil //nolint:nilerr // stopped while it waited
		default:
			return err
		}
	})
	return group.Wait()
}
