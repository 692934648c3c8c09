package cli

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/oskadev/mailroom/bus"
)

// commonFlags are those of every command that talks to the bus.
type commonFlags struct {
	Config    string `help:"A YAML file with settings, its keys named like the flags." placeholder:"FILE"`
	Namespace string `default:"mailroom" help:"Prefix of all keys and channels in Redis."`
	LogLevel  string `default:"info" enum:"debug,info,warn,error" help:"What is logged: ${enum}."`
	LogFormat string `default:"text" enum:"text,json" help:"How it is logged: ${enum}."`
}

// redisFlags are those of every command against a real Redis.
type redisFlags struct {
	Redis             string `default:"redis://127.0.0.1:6379" help:"Where Redis is: redis://, rediss://, redis+cluster:// or redis+sentinel://."`
	RedisPasswordFile string `placeholder:"FILE" help:"A file with the password of the user whom that URL names."`
	tlsFlags
}

// tlsFlags are for rediss://.
type tlsFlags struct {
	RedisTLSCert string `name:"redis-tls-cert" placeholder:"FILE" help:"The certificate to show to Redis, PEM. For rediss://."`
	RedisTLSKey  string `name:"redis-tls-key" placeholder:"FILE" help:"Its private key, PEM."`
	RedisTLSCA   string `name:"redis-tls-ca" placeholder:"FILE" help:"Who may vouch for Redis: certificates, PEM. The system's unless given."`
}

// credentials are those for the bus' Redis.
func (f *redisFlags) credentials() bus.Credentials {
	return bus.Credentials{PasswordFile: f.RedisPasswordFile, CertFile: f.RedisTLSCert, KeyFile: f.RedisTLSKey, CAFile: f.RedisTLSCA}
}

// logger writes to stderr, and first of all what is odd about the environment.
func (f *commonFlags) logger(p *program) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(f.LogLevel)) // one of the enum
	options := &slog.HandlerOptions{Level: level}
	handler := slog.Handler(slog.NewTextHandler(p.stderr, options))
	if f.LogFormat == "json" {
		handler = slog.NewJSONHandler(p.stderr, options)
	}
	log := slog.New(handler)
	if unknown := p.unknownVariables(); unknown != "" {
		log.Warn("unknown environment variables are ignored", "names", unknown)
	}
	return log
}

// connect prepares a connection by the flags. The role is what `mailroom acl`
// calls the process.
func (f *commonFlags) connect(to *redisFlags, role string, log *slog.Logger) (*bus.Conn, error) {
	conn, err := bus.Connect(to.Redis, bus.Options{Namespace: f.Namespace, Logger: log, Role: role, Credentials: to.credentials()})
	if err != nil {
		return nil, &exitError{code: exitUsage, err: err}
	}
	return conn, nil
}

// cacheFlags are those of every command that takes part in the shared cache.
type cacheFlags struct {
	CacheRedis             string `help:"Where the shared cache is, if not on the same Redis."`
	CacheRedisPasswordFile string `placeholder:"FILE" help:"A file with the password of the user whom that URL names."`
}

// cacheCredentials are those for the cache's Redis, which asks for the same
// certificates.
func (f *cacheFlags) cacheCredentials(tls tlsFlags) bus.Credentials {
	own := bus.Credentials{PasswordFile: f.CacheRedisPasswordFile}
	if strings.HasPrefix(f.CacheRedis, "rediss://") {
		own.CertFile, own.KeyFile, own.CAFile = tls.RedisTLSCert, tls.RedisTLSKey, tls.RedisTLSCA
	}
	return own
}

// check refuses a URL that cannot be one, before anything is begun.
func (f *cacheFlags) check(credentials bus.Credentials) error {
	if f.CacheRedis == "" {
		return nil
	}
	conn, err := bus.Connect(f.CacheRedis, bus.Options{Credentials: credentials}) // which dials nothing yet
	if err != nil {
		return &exitError{code: exitUsage, err: fmt.Errorf("--cache-redis: %w", err)}
	}
	return conn.Close()
}

// quiet leaves out the lines about each worker's start: in dev mode they would
// bury the greeting.
func quiet(log *slog.Logger) *slog.Logger { return slog.New(atLeast{log.Handler(), slog.LevelWarn}) }

// atLeast is a handler with a level of its own.
type atLeast struct {
	slog.Handler
	level slog.Level
}

// Enabled asks the handler and the level.
func (h atLeast) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= h.level && h.Handler.Enabled(ctx, level)
}

// waitShort is the pause between two looks, or the context's error.
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
