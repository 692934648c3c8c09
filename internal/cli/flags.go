package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/oskadev/mailroom/api"
	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/internal/ops"
	"github.com/oskadev/mailroom/internal/tracing/otlp"
)

// globalGroup is the group of the common flags, in help texts and in the reference page.
const globalGroup = "global"

// commonFlags are the flags of every command.
type commonFlags struct {
	Config    string `group:"global" placeholder:"FILE" help:"YAML file with settings; its keys are named like the flags."`
	Namespace string `group:"global" default:"mailroom" help:"Prefix of all keys and channels in Redis."`
	LogLevel  string `group:"global" default:"info" enum:"debug,info,warn,error" help:"Lowest level to log: debug, info, warn or error."`
	LogFormat string `group:"global" default:"text" enum:"text,json" help:"Format of the log: text or json."`
}

// redisFlags are the flags of every command but dev.
type redisFlags struct {
	Redis             string `group:"global" default:"redis://127.0.0.1:6379" help:"URL of Redis: redis://, rediss://, redis+cluster:// or redis+sentinel://."`
	RedisPasswordFile string `group:"global" placeholder:"FILE" help:"File with the password of the user in --redis; read at each new connection."`
	Scripts           string `group:"global" default:"auto" enum:"auto,functions,eval" help:"How Lua scripts are called in Redis: as functions, by eval, or auto: as functions where the server has them."`
	tlsFlags
}

// tlsFlags are for rediss:// URLs.
type tlsFlags struct {
	RedisTLSCert string `group:"global" name:"redis-tls-cert" placeholder:"FILE" help:"PEM file with the client certificate for rediss://."`
	RedisTLSKey  string `group:"global" name:"redis-tls-key" placeholder:"FILE" help:"PEM file with the private key of that certificate."`
	RedisTLSCA   string `group:"global" name:"redis-tls-ca" placeholder:"FILE" help:"PEM file with the CAs that may sign the certificate of Redis (default: those of the system)."`
}

// credentials returns the credentials for the bus.
func (f *redisFlags) credentials() bus.Credentials {
	return bus.Credentials{PasswordFile: f.RedisPasswordFile, CertFile: f.RedisTLSCert, KeyFile: f.RedisTLSKey, CAFile: f.RedisTLSCA}
}

// logger makes a logger that writes to stderr, and warns of unknown variables.
func (f *commonFlags) logger(p *program) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(f.LogLevel)) // one of the enum
	options := &slog.HandlerOptions{Level: level}
	handler := slog.Handler(slog.NewTextHandler(p.stderr, options))
	if f.LogFormat == "json" {
		handler = slog.NewJSONHandler(p.stderr, options)
	}
	log := slog.New(handler)
	if len(p.unknownEnv) > 0 {
		log.Warn("unknown environment variables are ignored", "names", strings.Join(p.unknownEnv, ", "))
	}
	return log
}

// connect prepares a connection to the bus. The role is the arguments of
// "mailroom acl" that give this process its rights.
func (f *commonFlags) connect(to *redisFlags, role string, log *slog.Logger) (*bus.Conn, error) {
	conn, err := bus.Connect(to.Redis, bus.Options{Namespace: f.Namespace, Logger: log, Role: role, Credentials: to.credentials(), Scripts: to.Scripts})
	if err != nil {
		return nil, usage(err)
	}
	return conn, nil
}

// edgeFlags limit what a gateway admits.
type edgeFlags struct {
	Limit              []string      `sep:";" placeholder:"RULE" help:"Rate limits, separated by semicolons: RATE per principal, key, tenant, address or route [on METHOD /path] [burst N], such as \"5/m per address on POST /users\"."`
	SizeLimit          []string      `sep:";" placeholder:"RULE" help:"Size limits of single routes, separated by semicolons, such as \"POST /users request=64KiB response=1MiB\"."`
	MaxConnections     int           `placeholder:"N" help:"Maximum number of open client connections; above it only probes are answered (default: limit of open files - 256)."`
	AddressConnections int           `placeholder:"N" help:"Maximum number of open connections of one client address that is no trusted proxy; more are closed (default: half of --max-connections, at least 64)."`
	StreamLife         time.Duration `default:"5m" help:"Maximum life of a stream of events; its client connects again and continues."`
	Streams            int           `default:"64" help:"Maximum number of streams of events of one caller."`
	InFlight           int64         `default:"4096" help:"Maximum number of calls of one service in flight at this gateway."`
	SocketInFlight     int           `default:"1024" help:"Maximum number of unanswered requests of one WebSocket."`
	CORSOrigin         []string      `name:"cors-origin" placeholder:"ORIGIN" help:"Origins whose pages may call, such as https://app.example.com, https://*.example.com or *."`
	CORSCredentials    bool          `name:"cors-credentials" help:"Let pages of these origins send cookies and client certificates."`
	CORSMaxAge         time.Duration `name:"cors-max-age" default:"10m" help:"Time for which browsers may cache a preflight answer."`
	NoCacheRate        string        `default:"10/s" placeholder:"RATE" help:"How often one caller may bypass or refresh cached answers by Cache-Control: no-cache, no-store or max-age=0, such as 10/s; beyond it the header is ignored; 0: always."`
	TrustedProxy       []string      `placeholder:"CIDR" help:"Networks of proxies whose X-Forwarded-For is trusted, such as 10.0.0.0/8."`
	TLSCert            string        `name:"tls-cert" placeholder:"FILE" help:"PEM file with the certificate chain for HTTPS; read again when it changes."`
	TLSKey             string        `name:"tls-key" placeholder:"FILE" help:"PEM file with the private key of that certificate."`
}

// apply sets the fields of a gateway's configuration. The error names all
// faults.
func (f *edgeFlags) apply(cfg *api.Config) error {
	var errs []error
	for _, text := range f.Limit {
		rule, err := api.ParseLimit(text)
		errs = append(errs, named("--limit", err))
		cfg.Limits = append(cfg.Limits, rule)
	}
	for _, text := range f.SizeLimit {
		rule, err := api.ParseSize(text)
		errs = append(errs, named("--size-limit", err))
		cfg.Sizes = append(cfg.Sizes, rule)
	}
	for _, text := range f.TrustedProxy {
		network, err := parseNetwork(text)
		errs = append(errs, named("--trusted-proxy", err))
		cfg.TrustedProxies = append(cfg.TrustedProxies, network)
	}
	rate, err := parseNoCacheRate(f.NoCacheRate)
	errs = append(errs, named("--no-cache-rate", err))
	cfg.NoCacheRate = rate
	cfg.MaxConnections, cfg.AddressConnections = f.MaxConnections, f.AddressConnections
	cfg.StreamLife, cfg.Streams = f.StreamLife, f.Streams
	for name, bad := range map[string]bool{"--stream-life": f.StreamLife <= 0, "--streams": f.Streams < 1} {
		if bad {
			errs = append(errs, errors.New(name+": it is not positive"))
		}
	}
	cfg.SocketInFlight = f.SocketInFlight
	cfg.InFlight, cfg.TLSCert, cfg.TLSKey = f.InFlight, f.TLSCert, f.TLSKey
	cfg.CORS = api.CORS{Origins: f.CORSOrigin, Credentials: f.CORSCredentials, MaxAge: f.CORSMaxAge}
	if f.SocketInFlight < 1 {
		errs = append(errs, fmt.Errorf("--socket-in-flight: %d is not positive", f.SocketInFlight))
	}
	if f.InFlight < 1 {
		errs = append(errs, fmt.Errorf("--in-flight: %d is not positive", f.InFlight))
	}
	return errors.Join(errs...)
}

// parseNoCacheRate parses a rate; 0 is one that allows nothing.
func parseNoCacheRate(text string) (api.Rate, error) {
	if text == "0" {
		return api.Rate{Count: -1}, nil
	}
	return api.ParseRate(text)
}

func named(flag string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", flag, err)
}

// parseNetwork parses a CIDR, or an address as a network of one.
func parseNetwork(text string) (netip.Prefix, error) {
	if address, err := netip.ParseAddr(text); err == nil {
		address = address.Unmap()
		return address.Prefix(address.BitLen())
	}
	network, err := netip.ParsePrefix(text)
	if err != nil || network.Bits() == 0 || network.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%q is not a valid proxy CIDR: give one such as 10.0.0.0/8, or an address", text)
	}
	return network.Masked(), nil
}

// authFlags choose who may call a gateway.
type authFlags struct {
	Auth           api.Auth `placeholder:"none|optional|required" help:"Whether callers need an API key or a token: none, optional or required; api has no default, dev defaults to none."`
	PublicDocs     bool     `help:"Serve /openapi.json and /docs to callers without a credential, also with --auth required."`
	JWTIssuer      string   `name:"jwt-issuer" help:"Issuer (iss) of the tokens to accept."`
	JWTAudience    string   `name:"jwt-audience" help:"Audience (aud) of the tokens to accept."`
	JWTJWKS        string   `name:"jwt-jwks" placeholder:"URL|FILE" help:"Public keys of tokens, a JWKS: https://, http:// on loopback, or a file."`
	JWTSecretFile  string   `name:"jwt-secret-file" placeholder:"FILE" help:"File with the secret of tokens, in place of public keys."`
	JWTAlgorithms  []string `name:"jwt-algorithms" help:"Algorithms to accept (default: RS256,ES256,EdDSA; HS256 with a secret)."`
	JWTTenantClaim string   `name:"jwt-tenant-claim" default:"tenant" help:"Claim of a token that names the tenant."`
}

// tokens returns the configuration of tokens, or nil when none are accepted.
func (f *authFlags) tokens() *api.Tokens {
	if f.JWTIssuer == "" && f.JWTAudience == "" && f.JWTJWKS == "" && f.JWTSecretFile == "" && len(f.JWTAlgorithms) == 0 {
		return nil
	}
	return &api.Tokens{
		Issuer: f.JWTIssuer, Audience: f.JWTAudience, JWKS: f.JWTJWKS, SecretFile: f.JWTSecretFile,
		Algorithms: f.JWTAlgorithms, TenantClaim: f.JWTTenantClaim,
	}
}

// errNoAuth makes the error of a gateway without --auth. There is no default,
// so that no gateway is open by accident.
func errNoAuth() error {
	return usage(errors.New("--auth is missing: give --auth required, to admit callers with an API key (mailroom keys create) or a token; " +
		"--auth optional, to admit others to actions that need no scope; or --auth none, to admit everybody to everything. " +
		"MAILROOM_AUTH and the key auth of the config file set it too"))
}

// greeting returns the last line of the greeting.
func (f *authFlags) greeting(redis string) string {
	if f.Auth == api.AuthNone {
		return "Callers need no API key (--auth none)."
	}
	return "Callers need an API key (--auth " + string(f.Auth) + "):\n  mailroom keys create --name me --redis " + redis
}

// cacheFlags are the flags of every command that uses the shared cache.
type cacheFlags struct {
	CacheRedis             string `placeholder:"URL" help:"URL of the Redis that holds the shared cache (default: --redis)."`
	CacheRedisPasswordFile string `placeholder:"FILE" help:"File with the password of the user in --cache-redis."`
}

// cacheCredentials returns the credentials for the Redis of the cache. It uses
// the certificates of the bus.
func (f *cacheFlags) cacheCredentials(tls tlsFlags) bus.Credentials {
	own := bus.Credentials{PasswordFile: f.CacheRedisPasswordFile}
	if strings.HasPrefix(f.CacheRedis, "rediss://") {
		own.CertFile, own.KeyFile, own.CAFile = tls.RedisTLSCert, tls.RedisTLSKey, tls.RedisTLSCA
	}
	return own
}

// check rejects an invalid URL before the command starts.
func (f *cacheFlags) check(credentials bus.Credentials) error {
	if f.CacheRedis == "" {
		return nil
	}
	conn, err := bus.Connect(f.CacheRedis, bus.Options{Credentials: credentials}) // does not dial yet
	if err != nil {
		return usage(fmt.Errorf("--cache-redis: %w", err))
	}
	return conn.Close()
}

// opsFlags say where the pages of the operator are served.
type opsFlags struct {
	OpsListen string `placeholder:"ADDRESS" help:"Address to serve /metrics, /healthz, /readyz and /console on, for operators; off: nowhere (default: 127.0.0.1:9090, or nowhere if that is taken)."`
}

// opsAddress returns the value of --ops-listen of a worker; empty: its pages are not served.
func opsAddress(flag string) string {
	if flag == "off" {
		return ""
	}
	return flag
}

// listenOps opens the address; nil: the pages are not served.
func (f *opsFlags) listenOps(ctx context.Context, log *slog.Logger) (net.Listener, error) {
	if f.OpsListen == "off" {
		return nil, nil
	}
	return ops.Listen(ctx, cmp.Or(f.OpsListen, ops.DefaultAddress), f.OpsListen != "", log)
}

// flushLimit is the time in which the last spans have to be exported when a command ends.
const flushLimit = 5 * time.Second

// startTraces exports the spans of a command where the environment asks for it. Call stop
// when the command has drained: it exports the last spans, within what is left of the drain
// limit. Variables with a bad value leave the command without traces.
func startTraces(ctx context.Context, command string, drain time.Duration, log *slog.Logger) (stop func()) {
	export, err := otlp.Start(ctx, otlp.Config{Getenv: os.Getenv, Service: "mailroom-" + command, Version: toolVersion(), Log: log})
	if err != nil {
		log.ErrorContext(ctx, "no traces are exported", "error", err)
	}
	if export == nil {
		return func() {}
	}
	var told atomic.Pointer[time.Time] // when the command was told to stop
	detach := context.AfterFunc(ctx, func() {
		now := time.Now()
		told.Store(&now)
	})
	return func() {
		detach()
		limit := flushLimit
		if at := told.Load(); at != nil {
			limit = min(limit, drain-time.Since(*at))
		}
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
		defer cancel()
		export(ending)
	}
}
