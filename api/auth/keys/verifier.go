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

// Config of a Verifier. The zero value is ready to use.
type Config struct {
	// Remember is how long what was read of a key counts, counted from before the
	// look: so long a revoked key may be let in. Defaults to 500 ms.
	Remember time.Duration
	// MostKnown bounds how many keys are remembered, also of those that are none.
	// Defaults to 10,000.
	MostKnown int
	// Timeout is how long Redis may take. Defaults to 500 ms.
	Timeout time.Duration
	// Now is the clock of this process. Defaults to time.Now.
	Now func() time.Time
	// Logger defaults to the bus connection's.
	Logger *slog.Logger
}

func (c *Config) setDefaults(conn *bus.Conn) {
	if c.Remember == 0 {
		c.Remember = 500 * time.Millisecond
	}
	if c.MostKnown == 0 {
		c.MostKnown = 10_000
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

// ErrRefused says that a text is no key that counts: it never was one, or was
// revoked, or has expired. Which of them a stranger is not told.
var ErrRefused = errors.New("the API key is unknown, revoked or expired")

// Verifier tells whose a key is. It is safe for concurrent use. Close it.
type Verifier struct {
	cfg       Config
	rdb       redis.UniversalClient
	name      string
	redisTime func() time.Time
	known     *otter.Cache[string, *found]
	looks     singleflight.Group
}

// found is what a look for an ID found.
type found struct {
	until     time.Time // of this process's clock
	principal *wire.Principal
	expires   time.Time
	hash      [sha256.Size]byte // all zero, which none is: there is no such key
}

// NewVerifier prepares a verifier, with connections of its own, so that neither a
// flood of bad keys takes any from the bus, nor the bus from it.
func NewVerifier(conn *bus.Conn, cfg Config) (*Verifier, error) {
	cfg.setDefaults(conn)
	known, err := otter.New(&otter.Options[string, *found]{
		MaximumSize: cfg.MostKnown, ExpiryCalculator: otter.ExpiryWriting[string, *found](cfg.Remember),
	})
	if err != nil {
		return nil, fmt.Errorf("API keys: %w", err)
	}
	return &Verifier{cfg: cfg, rdb: conn.NewClient(), name: conn.Keys.APIKeys(), redisTime: conn.Clock.Now, known: known}, nil
}

// Close ends its connections.
func (v *Verifier) Close() {
	_ = v.rdb.Close()
	v.known.InvalidateAll()
	v.known.StopAllGoroutines()
}

// Verify tells whose the key is. ErrRefused: it counts for nobody. Any other error
// means that Redis did not tell.
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

// find looks for an ID, unless that was done just now; once for all who ask at the
// same time.
func (v *Verifier) find(ctx context.Context, id string) (*found, error) {
	if f, ok := v.known.GetIfPresent(id); ok && v.cfg.Now().Before(f.until) {
		return f, nil
	}
	looking := v.looks.DoChan(id, func() (any, error) {
		// It is for all of them: who leaves does not end it.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), v.cfg.Timeout)
		defer cancel()
		return v.look(ctx, id)
	})
	select {
	case result := <-looking:
		f, _ := result.Val.(*found)
		return f, result.Err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (v *Verifier) look(ctx context.Context, id string) (*found, error) {
	f := &found{until: v.cfg.Now().Add(v.cfg.Remember)}
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
	v.known.Set(strings.Clone(id), f) // not with the secret that it was cut from
	return f, nil
}

// read takes what is kept of a key. With an error it is none.
func (f *found) read(id, value string) error {
	var k kept
	if err := json.Unmarshal([]byte(value), &k); err != nil {
		return errors.New("it is not JSON as it was written") // what it is may be a secret
	}
	sum, err := hex.DecodeString(k.Hash)
	if err != nil || len(sum) != sha256.Size {
		return errors.New("its sha256 is no SHA-256")
	}
	k.ID = id
	f.principal, f.expires = k.Principal(), k.Expires
	copy(f.hash[:], sum)
	return nil
}
