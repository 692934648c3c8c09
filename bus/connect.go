package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/backoff"
	"github.com/oskadev/mailroom/internal/rediserr"
	"github.com/oskadev/mailroom/internal/redismemory"
	"github.com/oskadev/mailroom/internal/resp"
)

// Options of a connection. The zero value is ready to use.
type Options struct {
	// Namespace is the prefix of all keys and channels.
	// Defaults to DefaultNamespace.
	Namespace string
	// Credentials prove who the process is, beside the URL. Default to none.
	Credentials Credentials
	// Role is what the process is, as `mailroom acl` calls it: "api", or
	// "worker users". What says that a right is missing names it.
	// Defaults to not known.
	Role string
	// Logger takes what operators need to know. Defaults to slog.Default().
	Logger *slog.Logger
	// Timeout bounds dialing, writing to and reading from Redis.
	// Defaults to 3 s.
	Timeout time.Duration
	// Now is the clock of this process. Defaults to time.Now.
	Now func() time.Time
	// Hook stops requests between their steps, in tests. Defaults to none.
	Hook Hook
}

// Conn is a connection to Redis, for asking and for answering. It is safe for
// concurrent use.
type Conn struct {
	Keys  wire.Keys
	Clock *Clock

	// Scripts are the Lua scripts of the protocol.
	Scripts Scripts
	// Hook stops requests between their steps, in tests; nil: none.
	Hook Hook

	log     *slog.Logger
	target  target
	timeout time.Duration
	rdb     redis.UniversalClient
	access  *access
}

// Connect prepares a connection by URL: redis://, rediss:// (a single server),
// redis+cluster://h1:p1,h2:p2 or redis+sentinel://h1:p1,h2:p2/MASTER. It dials
// nothing yet: see WaitReady. The error names what is wrong with the URL, and
// never its password.
func Connect(url string, opts Options) (*Conn, error) {
	t, err := parseURL(url)
	if err != nil {
		return nil, err
	}
	if err := t.prove(opts.Credentials); err != nil {
		return nil, err
	}
	if opts.Namespace == "" {
		opts.Namespace = wire.DefaultNamespace
	}
	keys, err := wire.NewKeys(opts.Namespace)
	if err != nil {
		return nil, err
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	if opts.Timeout == 0 {
		opts.Timeout = 3 * time.Second
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	c := &Conn{
		Keys: keys, Clock: &Clock{local: opts.Now}, log: opts.Logger, Hook: opts.Hook,
		target: t, timeout: opts.Timeout, Scripts: loadScripts(),
		access: newAccess(t, opts.Role),
	}
	quietLibrary(opts.Logger)
	c.rdb = c.newClient(0)
	return c, nil
}

// newClient opens a client of its own: blocking reads and subscriptions must
// not take the connections that writes need. A pool of 0 is the library's
// default size.
func (c *Conn) newClient(pool int) redis.UniversalClient {
	o := c.target.options
	o.PoolSize = pool
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout = c.timeout, c.timeout, c.timeout
	o.ContextTimeoutEnabled = true
	// Every loop of the bus tries again by itself, and knows what may be repeated.
	o.MaxRetries = -1
	o.DialerRetries = 1
	o.Protocol = 2
	o.DisableIdentity = true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	var rdb redis.UniversalClient
	if o.IsClusterMode {
		cluster := o.Cluster()
		// Who listens to a node that has died is deaf until the library looks again.
		cluster.ClusterStateReloadInterval = 3 * time.Second
		rdb = redis.NewClusterClient(cluster)
	} else {
		rdb = redis.NewUniversalClient(&o)
	}
	rdb.AddHook(c.access)
	return rdb
}

// Redis is the client of this connection, for stores that live on the same
// Redis.
func (c *Conn) Redis() redis.UniversalClient { return c.rdb }

// NewClient opens another client to the same Redis, for what must not wait for
// the bus' connections, nor the bus for its. Close it.
func (c *Conn) NewClient() redis.UniversalClient { return c.newClient(0) }

// Timeout bounds dialing, writing to and reading from Redis.
func (c *Conn) Timeout() time.Duration { return c.timeout }

// Explain makes a RefusedError of an error with which Redis refuses the user, and
// returns other errors as they are. The command is its name and its arguments.
func (c *Conn) Explain(err error, command ...any) error { return c.access.explain(err, command...) }

// NewPipeline opens a pipeline to the same Redis, for one goroutine. Close it.
func (c *Conn) NewPipeline() *resp.Pipeline {
	return resp.NewPipeline(resp.Options{
		Client: c.rdb, Hook: c.access, Explain: c.Explain, Timeout: c.timeout,
		Open: func() *redis.Client {
			client, _ := c.newClient(1).(*redis.Client) // not asked for on a cluster
			return client
		},
	})
}

// Log is the logger of this connection.
func (c *Conn) Log() *slog.Logger { return c.log }

// Address says where the connection leads, without credentials.
func (c *Conn) Address() string { return c.target.String() }

// Ping reaches Redis once and corrects the clock.
func (c *Conn) Ping(ctx context.Context) error {
	err := c.Clock.measure(ctx, c.rdb)
	if rediserr.IsRefused(err) {
		return err // it tells all by itself
	}
	if err != nil {
		return fmt.Errorf("reach Redis at %s: %w", c.Address(), err)
	}
	return nil
}

// ErrEviction says that Redis may delete what the bus keeps.
var ErrEviction = errors.New("Redis may evict requests: set maxmemory-policy to noeviction")

// checkEviction refuses a Redis that deletes keys when its memory is full: a
// mailbox or a stored outcome would vanish without a trace. Servers that do
// not tell their policy pass.
func (c *Conn) checkEviction(ctx context.Context) error {
	info, err := c.rdb.Info(ctx, "memory").Result()
	if rediserr.IsServer(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reach Redis at %s: %w", c.Address(), err)
	}
	if policy := redismemory.Of(info).Policy; policy != "" && policy != "noeviction" {
		return fmt.Errorf("%w; at %s it is %s", ErrEviction, c.Address(), policy)
	}
	return nil
}

// WaitReady tries until Redis answers, with a log line for each failure. It
// returns an error when the context ends, or at once when trying again would
// not help: Redis refuses the credentials, or may evict requests.
func (c *Conn) WaitReady(ctx context.Context) error {
	waits := backoff.New(100*time.Millisecond, 2*time.Second)
	for {
		err := c.Ping(ctx)
		if err == nil {
			err = c.checkEviction(ctx)
		}
		if err == nil || rediserr.IsRefused(err) || errors.Is(err, ErrEviction) {
			return err
		}
		wait := waits.Next()
		if ctx.Err() != nil { // told to stop, which says nothing of Redis
			return err
		}
		c.log.WarnContext(ctx, "Redis is unreachable, retrying", "redis", c.Address(), "error", errors.Unwrap(err), "retry_in", wait)
		if backoff.Pause(ctx, wait) != nil {
			return err
		}
	}
}

// Refused delivers what Redis refuses this connection, once it has: errors that
// are a RefusedError. What nobody takes is dropped.
func (c *Conn) Refused() <-chan error { return c.access.refused }

// Close ends all connections. What is still under way fails.
func (c *Conn) Close() error { return c.rdb.Close() }

// Master returns a client of the server that holds a key.
func (c *Conn) Master(ctx context.Context, key string) (*redis.Client, error) {
	switch rdb := c.rdb.(type) {
	case *redis.Client:
		return rdb, nil
	case *redis.ClusterClient:
		return rdb.MasterForKey(ctx, key)
	default:
		return nil, errors.New("unknown kind of Redis client")
	}
}
