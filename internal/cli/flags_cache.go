package cli

import (
	"fmt"
	"strings"

	"github.com/oskadev/mailroom/bus"
)

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
