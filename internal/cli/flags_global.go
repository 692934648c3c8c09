package cli

import (
	"log/slog"
	"strings"

	"github.com/oskadev/mailroom/bus"
)

// globalGroup is the group of the flags in this file, in help texts and in the
// reference page.
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
	conn, err := bus.Connect(to.Redis, bus.Options{Namespace: f.Namespace, Logger: log, Role: role, Credentials: to.credentials()})
	if err != nil {
		return nil, usage(err)
	}
	return conn, nil
}
