package tokens

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/maypok86/otter/v2"

	"github.com/oskadev/mailroom/bus/wire"
)

// RefusedError reports why a token is not valid. It holds nothing of the token, so that it
// can be sent and logged.
type RefusedError struct{ Reason string }

// Error returns the reason.
func (e *RefusedError) Error() string { return "the token is refused: " + e.Reason }

func refused(reason string) error { return &RefusedError{Reason: reason} }

// Verifier verifies tokens. It is safe for concurrent use. Close it.
type Verifier struct {
	cfg    Config
	parser *jwt.Parser
	keys   *keyring
	cached *otter.Cache[[sha256.Size]byte, *verified]
	stop   context.CancelFunc
	done   sync.WaitGroup
}

// verified is a verified token. The cache holds it by the hash of the text.
type verified struct {
	principal *wire.Principal
	keys      *keySet // the set of its key: under another set it is verified again
	until     time.Time
}

// New returns a verifier. The error names every fault of the config, or the fault of the
// file that it names. A JWKS at a URL is fetched in the background; until then Verify
// waits for it.
func New(cfg Config) (*Verifier, error) {
	if err := cfg.Check(); err != nil {
		return nil, fmt.Errorf("tokens: %w", err)
	}
	cfg.setDefaults()
	keys, err := newKeyring(&cfg)
	if err != nil {
		return nil, fmt.Errorf("tokens: %w", err)
	}
	cached, err := otter.New(&otter.Options[[sha256.Size]byte, *verified]{
		MaximumSize: cfg.MaxCached, ExpiryCalculator: otter.ExpiryWriting[[sha256.Size]byte, *verified](cfg.CacheTTL),
	})
	if err != nil {
		return nil, fmt.Errorf("tokens: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	v := &Verifier{cfg: cfg, keys: keys, cached: cached, stop: stop, parser: jwt.NewParser(
		jwt.WithValidMethods(cfg.Algorithms), jwt.WithIssuer(cfg.Issuer), jwt.WithAudience(cfg.Audience),
		jwt.WithExpirationRequired(), jwt.WithLeeway(cfg.Leeway), jwt.WithTimeFunc(cfg.Now), jwt.WithStrictDecoding(),
	)}
	v.done.Go(func() { keys.run(ctx) })
	return v, nil
}

// Close stops loading keys.
func (v *Verifier) Close() {
	v.stop()
	v.done.Wait()
	v.cached.InvalidateAll()
	v.cached.StopAllGoroutines()
}

// Verify returns the principal of a token. It returns a RefusedError for a token that is
// not valid, and another error where its key could not be loaded.
func (v *Verifier) Verify(ctx context.Context, token string) (*wire.Principal, error) {
	sum := sha256.Sum256([]byte(token))
	if k, ok := v.cached.GetIfPresent(sum); ok && k.keys == v.keys.current.Load() && v.cfg.Now().Before(k.until) {
		return k.principal, nil
	}
	k, err := v.verify(ctx, token)
	if err != nil {
		return nil, err
	}
	v.cached.Set(sum, k)
	return k.principal, nil
}

func (v *Verifier) verify(ctx context.Context, token string) (*verified, error) {
	claims := jwt.MapClaims{}
	k := &verified{}
	var unknown error
	_, err := v.parser.ParseWithClaims(token, claims, func(t *jwt.Token) (any, error) {
		// No extension is supported: RFC 7515, section 4.1.11.
		if _, found := t.Header["crit"]; found {
			return nil, refused("it names extensions (crit) that are not understood")
		}
		id, found := t.Header["kid"].(string)
		if _, given := t.Header["kid"]; given && !found {
			return nil, refused("its kid is no string")
		}
		key, set, err := v.keys.find(ctx, id, t.Method.Alg())
		switch {
		case err != nil:
			unknown = fmt.Errorf("verify a token: %w", err)
			return nil, unknown
		case key == nil:
			return nil, refused("its key is not known")
		}
		k.keys = set
		return key, nil
	})
	if unknown != nil {
		return nil, unknown
	}
	if err != nil {
		return nil, reasonOf(err)
	}
	if k.principal, err = principalOf(claims, v.cfg.TenantClaim); err != nil {
		return nil, err
	}
	now := v.cfg.Now()
	k.until = now.Add(v.cfg.CacheTTL)
	// The parser has refused a token without exp.
	if expires, err := claims.GetExpirationTime(); err == nil && expires.Add(v.cfg.Leeway).Before(k.until) {
		k.until = expires.Add(v.cfg.Leeway)
	}
	return k, nil
}

// reasonOf returns the reason that an unauthenticated client may see. The error of the
// library could hold parts of the token.
func reasonOf(err error) error {
	if own, ok := errors.AsType[*RefusedError](err); ok {
		return own
	}
	for _, c := range []struct {
		err    error
		reason string
	}{
		{jwt.ErrTokenMalformed, "it is no JSON Web Token"},
		{jwt.ErrTokenUnverifiable, "its algorithm is not accepted"},
		{jwt.ErrTokenSignatureInvalid, "its signature, or its algorithm, is not accepted"},
		{jwt.ErrTokenRequiredClaimMissing, "it lacks a claim: iss, aud, exp and sub have to be there"},
		{jwt.ErrTokenExpired, "it has expired"},
		{jwt.ErrTokenNotValidYet, "it is not valid yet"},
		{jwt.ErrTokenInvalidAudience, "it is for another audience"},
		{jwt.ErrTokenInvalidIssuer, "it is of another issuer"},
	} {
		if errors.Is(err, c.err) {
			return refused(c.reason)
		}
	}
	return refused("its claims are not as they have to be")
}
