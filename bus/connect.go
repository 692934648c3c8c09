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
	"github.com/oskadev/mailroom/internal/script"
)

// Options of a connection. The zero value is ready to use.
type Options struct {
	// Namespace is the prefix of all keys and channels.
	// Defaults to DefaultNamespace.
	Namespace string
	// Credentials identify the process in addition to the URL. Defaults to none.
	Credentials Credentials
	// Role is the role of the process for `mailroom acl`: "api" or "worker users".
	// Errors about missing rights name it. Defaults to not known.
	Role string
	// Scripts says how Lua scripts are called: auto, functions or eval.
	// Defaults to auto: as functions, where the server has them.
	Scripts string
	// Logger receives the messages for operators. Defaults to slog.Default().
	Logger *slog.Logger
	// Timeout bounds dialing, writing to and reading from Redis.
	// Defaults to 3 s.
	Timeout time.Duration
	// Now is the clock of this process. Defaults to time.Now.
	Now func() time.Time
	// Hook stops requests between their steps, in tests. Defaults to none.
	Hook Hook
}

// Conn is the connection of a process to Redis. It is safe for concurrent use.
type Conn struct {
	Keys  wire.Keys
	Clock *Clock

	// Scripts are the Lua scripts of the protocol.
	Scripts Scripts
	// ScriptCaller decides how further scripts on this Redis are called.
	ScriptCaller *script.Caller
	// Hook stops requests between their steps, in tests; nil: none.
	Hook Hook

	log     *slog.Logger
	address string // without credentials
	timeout time.Duration
	rdb     Redis
	open    func(pool int) Redis // a separate client; a pool of 0 has the library's default size
	access  *access
	fields  *fieldReaders
}

// Redis is a redis.UniversalClient without the methods, such as Subscribe and Watch, whose
// types slow down the build of each package that passes a Conn on (CONTRIBUTING.md,
// "Imports").
type Redis interface {
	redis.Cmdable
	Do(ctx context.Context, args ...any) *redis.Cmd
	Process(ctx context.Context, cmd redis.Cmder) error
	Close() error
}

// Connect prepares a connection by URL: redis://, rediss:// (a single server),
// redis+cluster://h1:p1,h2:p2 or redis+sentinel://h1:p1,h2:p2/MASTER. It dials
// nothing yet: see WaitReady. The error names the fault of the URL, never its
// password.
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
	scripts, err := script.NewCaller(script.Way(opts.Scripts))
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
		address: t.String(), timeout: opts.Timeout, Scripts: loadScripts(scripts), ScriptCaller: scripts,
		access: newAccess(t, opts.Role), fields: newFieldReaders(),
	}
	quietLibrary(opts.Logger)
	c.open = func(pool int) Redis { return newClient(t.options, pool, c.timeout, c.access) }
	c.rdb = c.open(0)
	return c, nil
}

// newClient opens a separate client: blocking reads and subscriptions must not use the
// connections that writes need.
func newClient(o redis.UniversalOptions, pool int, timeout time.Duration, hook redis.Hook) redis.UniversalClient {
	o.PoolSize = pool
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout = timeout, timeout, timeout
	o.ContextTimeoutEnabled = true
	// Every loop of the bus retries itself and knows which commands may be repeated.
	o.MaxRetries = -1
	o.DialerRetries = 1
	o.Protocol = 2
	o.DisableIdentity = true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	var rdb redis.UniversalClient
	if o.IsClusterMode {
		cluster := o.Cluster()
		// A subscription to a dead node receives nothing until the library reloads.
		cluster.ClusterStateReloadInterval = 3 * time.Second
		rdb = redis.NewClusterClient(cluster)
	} else {
		rdb = redis.NewUniversalClient(&o)
	}
	rdb.AddHook(hook)
	return rdb
}

// Redis returns the client of this connection, for stores on the same Redis.
func (c *Conn) Redis() Redis { return c.rdb }

// NewClient opens another client to the same Redis, with connections that the bus does
// not use. Close it.
func (c *Conn) NewClient() Redis { return c.open(0) }

// listenLimits bound the messages of Listen, which are short. listenFor is how long Listen
// waits for one before it subscribes again: the connection may be lost.
func listenLimits() resp.Limits { return resp.Limits{String: 1 << 10} }

const listenFor = time.Minute

// Listen calls received with each message of a channel until the subscription is lost, a
// minute passes without a message, or the context ends, and returns the reason. A message
// over 1 KiB is empty. It uses a connection of its own.
func (c *Conn) Listen(ctx context.Context, channel string, received func(message string)) error {
	p := c.NewBoundedPipeline(listenLimits())
	defer p.Close()
	k, err := p.Conn(ctx, channel)
	if err != nil {
		return err
	}
	// A blocked read ends when the connection is closed, not when the context ends.
	socket := k.Net()
	defer context.AfterFunc(ctx, func() { _ = socket.Close() })()
	k.Out.Add("subscribe", channel)
	for err = k.Send(c.timeout); err == nil; {
		var messages []string
		if messages, err = k.Receive(1, listenFor); err != nil {
			break
		}
		var words []string
		if words, err = resp.Words(messages[0]); err == nil && len(words) == 3 && words[0] == "message" {
			received(words[2])
		}
	}
	return c.Explain(err, "subscribe", channel)
}

// Timeout returns the limit of dialing, writing to and reading from Redis.
func (c *Conn) Timeout() time.Duration { return c.timeout }

// Explain returns a RefusedError for an error with which Redis refuses the user, and
// other errors as they are. The command is its name and its arguments.
func (c *Conn) Explain(err error, command ...any) error { return c.access.explain(err, command...) }

// NewPipeline opens a pipeline to the same Redis, for one goroutine. Close it.
func (c *Conn) NewPipeline() *resp.Pipeline { return c.NewBoundedPipeline(resp.Limits{}) }

// NewBoundedPipeline is NewPipeline with limits of each answer.
func (c *Conn) NewBoundedPipeline(limits resp.Limits) *resp.Pipeline {
	return resp.NewPipeline(resp.Options{
		Client: c.rdb, Hook: c.access, Explain: c.Explain, Timeout: c.timeout, Limits: limits,
		Open: func() *redis.Client {
			client, _ := c.open(1).(*redis.Client) // not called on a cluster
			return client
		},
	})
}

// Log returns the logger of this connection.
func (c *Conn) Log() *slog.Logger { return c.log }

// Address returns the URL of the connection without credentials.
func (c *Conn) Address() string { return c.address }

// Ping sends one command to Redis and corrects the clock.
func (c *Conn) Ping(ctx context.Context) error {
	err := c.Clock.measure(ctx, c.rdb)
	if rediserr.IsRefused(err) {
		return err // it names the address itself
	}
	if err != nil {
		return fmt.Errorf("reach Redis at %s: %w", c.Address(), err)
	}
	return nil
}

// ErrEviction reports that Redis may delete keys of the bus.
var ErrEviction = errors.New("Redis may evict requests: set maxmemory-policy to noeviction")

// CheckEviction returns an ErrEviction for a Redis that deletes keys when its memory is full:
// a mailbox or a stored outcome would be lost unnoticed. On a cluster it asks every server. A
// server without a policy passes.
func (c *Conn) CheckEviction(ctx context.Context) error {
	return c.EachServer(ctx, func(ctx context.Context, server Redis) error {
		info, err := server.Info(ctx, "memory").Result()
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
	})
}

// WaitReady retries until Redis answers and logs each failure. It returns an error when
// the context ends, and at once if a retry does not help: Redis refuses the
// credentials, or may evict keys.
func (c *Conn) WaitReady(ctx context.Context) error {
	waits := backoff.New(100*time.Millisecond, 2*time.Second)
	for {
		err := c.Ping(ctx)
		if err == nil {
			err = c.CheckEviction(ctx)
		}
		if err == nil || rediserr.IsRefused(err) || errors.Is(err, ErrEviction) {
			return err
		}
		wait := waits.Next()
		if ctx.Err() != nil { // the process stops
			return err
		}
		c.log.WarnContext(ctx, "Redis is unreachable, retrying", "redis", c.Address(), "error", errors.Unwrap(err), "retry_in", wait)
		if backoff.Pause(ctx, wait) != nil {
			return err
		}
	}
}

// Refused returns a channel of RefusedErrors: what Redis refuses this connection. It
// holds one; more are dropped until it is received.
func (c *Conn) Refused() <-chan error { return c.access.refused }

// Close closes all connections. Commands in flight fail.
func (c *Conn) Close() error {
	c.fields.close()
	return c.rdb.Close()
}

// Master returns a client of the master that holds a key.
func (c *Conn) Master(ctx context.Context, key string) (Redis, error) {
	switch rdb := c.rdb.(type) {
	case *redis.Client:
		return rdb, nil
	case *redis.ClusterClient:
		return rdb.MasterForKey(ctx, key)
	default:
		return nil, errors.New("find the master of a key: unknown kind of Redis client")
	}
}

// EachServer calls do for every server: on a cluster at the same time, and for the
// replicas too. It returns the first error.
func (c *Conn) EachServer(ctx context.Context, do func(ctx context.Context, server Redis) error) error {
	if cluster, ok := c.rdb.(*redis.ClusterClient); ok {
		return cluster.ForEachShard(ctx, func(ctx context.Context, server *redis.Client) error { return do(ctx, server) })
	}
	return do(ctx, c.rdb)
}
