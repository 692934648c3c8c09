package keys

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/singleflight"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/wire"
)

// Config configures a Verifier. The zero value is ready to use.
type Config struct {
	// CacheTTL is the time for which a looked-up key counts, from before the lookup. A
	// revoked key is accepted for at most this long. Defaults to 500 ms.
	CacheTTL time.Duration
	// MaxCached bounds the number of cached lookups, those of unknown IDs included.
	// Defaults to 10,000.
	MaxCached int
	// Timeout bounds a lookup in Redis. Defaults to 500 ms.
	Timeout time.Duration
	// Now is the clock of this process. Defaults to time.Now.
	Now func() time.Time
	// Logger defaults to the bus connection's.
	Logger *slog.Logger
}

func (c *Config) setDefaults(conn *bus.Conn) {
	if c.CacheTTL == 0 {
		c.CacheTTL = 500 * time.Millisecond
	}
	if c.MaxCached == 0 {
		c.MaxCached = 10_000
	}
	if c.Timeout == 0 {
		c.Timeout = 500 * time.Millisecond
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = conn.Log()
	}
}

// ErrRefused reports that a text is not a valid key. It does not say which of its reasons
// applies, so that an unauthenticated client learns nothing.
var ErrRefused = errors.New("the API key is unknown, revoked or expired")

// Verifier verifies keys. It is safe for concurrent use. Close it.
type Verifier struct {
	cfg       Config
	rdb       bus.Redis
	name      string
	redisTime func() time.Time
	cached    *otter.Cache[string, *found]
	lookups   singleflight.Group
}

// found is the result of a lookup.
type found struct {
	until     time.Time // it counts until then, on the clock of this process
	principal *wire.Principal
	expires   time.Time
	hash      [sha256.Size]byte // all zero: there is no such key
}

// NewVerifier returns a verifier with connections of its own: a flood of bad keys takes
// none from the bus.
func NewVerifier(conn *bus.Conn, cfg Config) (*Verifier, error) {
	cfg.setDefaults(conn)
	cached, err := otter.New(&otter.Options[string, *found]{
		MaximumSize: cfg.MaxCached, ExpiryCalculator: otter.ExpiryWriting[string, *found](cfg.CacheTTL),
	})
	if err != nil {
		return nil, fmt.Errorf("API keys: %w", err)
	}
	return &Verifier{cfg: cfg, rdb: conn.NewClient(), name: conn.Keys.APIKeys(), redisTime: conn.Clock.Now, cached: cached}, nil
}

// Close closes the connections of the verifier.
func (v *Verifier) Close() {
	_ = v.rdb.Close()
	v.cached.InvalidateAll()
	v.cached.StopAllGoroutines()
}

// Verify returns the principal that a key authenticates. It returns ErrRefused for a key
// that is not valid, and another error where Redis did not answer.
func (v *Verifier) Verify(ctx context.Context, text string) (*wire.Principal, error) {
	id, secret, ok := parse(text)
	if !ok {
		return nil, ErrRefused
	}
	f, err := v.find(ctx, id)
	if err != nil {
		return nil, err
	}
	sum := hash(secret)
	same := subtle.ConstantTimeCompare(sum[:], f.hash[:]) == 1
	if !same || f.principal == nil || !f.expires.IsZero() && !v.redisTime().Before(f.expires) {
		return nil, ErrRefused
	}
	return f.principal, nil
}

// find returns the cached result for an ID or looks it up, once for all concurrent
// callers.
func (v *Verifier) find(ctx context.Context, id string) (*found, error) {
	if f, ok := v.fresh(id); ok {
		return f, nil
	}
	lookup := v.lookups.DoChan(id, func() (any, error) {
		// An earlier lookup may have ended since the caller looked in the cache.
		if f, ok := v.fresh(id); ok {
			return f, nil
		}
		// The lookup serves all callers: it outlives the one that began it.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), v.cfg.Timeout)
		defer cancel()
		return v.look(ctx, id)
	})
	select {
	case result := <-lookup:
		f, _ := result.Val.(*found)
		return f, result.Err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// fresh returns the cached result for an ID, if it still counts.
func (v *Verifier) fresh(id string) (*found, bool) {
	f, ok := v.cached.GetIfPresent(id)
	return f, ok && v.cfg.Now().Before(f.until)
}

// look reads a key from Redis.
func (v *Verifier) look(ctx context.Context, id string) (*found, error) {
	f := &found{until: v.cfg.Now().Add(v.cfg.CacheTTL)}
	value, err := v.rdb.HGet(ctx, v.name, id).Result()
	switch {
	case err == redis.Nil: //nolint:errorlint // the library returns exactly this
	case err != nil:
		return nil, fmt.Errorf("look up an API key: %w", err)
	default:
		if err := f.read(id, value); err != nil {
			v.cfg.Logger.ErrorContext(ctx, "an API key cannot be read, and is refused", "id", id, "error", err)
		}
	}
	v.cached.Set(strings.Clone(id), f) // the ID is a part of a text with the secret
	return f, nil
}

// read decodes a stored key. After an error no text matches it.
func (f *found) read(id, value string) error {
	var k stored
	if err := json.Unmarshal([]byte(value), &k); err != nil {
		return errors.New("the stored value is not valid JSON") // the cause may hold a secret
	}
	sum, err := hex.DecodeString(k.Hash)
	if err != nil || len(sum) != sha256.Size {
		return errors.New("its sha256 is not a SHA-256")
	}
	k.ID = id
	f.principal, f.expires = k.Principal(), k.Expires
	copy(f.hash[:], sum)
	return nil
}
