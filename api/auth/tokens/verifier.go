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

// RefusedError says that a token counts for nobody, and why. It holds nothing of
// the token, so that it may be told and logged.
type RefusedError struct{ Reason string }

// Error is the reason.
func (e *RefusedError) Error() string { return "the token is refused: " + e.Reason }

func refused(reason string) error { return &RefusedError{Reason: reason} }

// Verifier tells whose a token is. It is safe for concurrent use. Close it.
type Verifier struct {
	cfg    Config
	parser *jwt.Parser
	keys   *keyring
	known  *otter.Cache[[sha256.Size]byte, *verified]
	stop   context.CancelFunc
	done   sync.WaitGroup
}

// verified is a token that was, by the hash of its text.
type verified struct {
	principal *wire.Principal
	keys      *keySet // that its key is from: once there are others, it is verified anew
	until     time.Time
}

// New prepares a verifier. The error names everything that is wrong with the
// configuration, or with the file that it names. A JWKS at a URL is fetched by and
// by: until it is there, no token can be verified.
func New(cfg Config) (*Verifier, error) {
	if err := cfg.Check(); err != nil {
		return nil, fmt.Errorf("tokens: %w", err)
	}
	cfg.setDefaults()
	keys, err := newKeyring(&cfg)
	if err != nil {
		return nil, fmt.Errorf("tokens: %w", err)
	}
	known, err := otter.New(&otter.Options[[sha256.Size]byte, *verified]{
		MaximumSize: cfg.MostKnown, ExpiryCalculator: otter.ExpiryWriting[[sha256.Size]byte, *verified](cfg.Remember),
	})
	if err != nil {
		return nil, fmt.Errorf("tokens: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	v := &Verifier{cfg: cfg, keys: keys, known: known, stop: stop, parser: jwt.NewParser(
		jwt.WithValidMethods(cfg.Algorithms), jwt.WithIssuer(cfg.Issuer), jwt.WithAudience(cfg.Audience),
		jwt.WithExpirationRequired(), jwt.WithLeeway(cfg.Leeway), jwt.WithTimeFunc(cfg.Now), jwt.WithStrictDecoding(),
	)}
	v.done.Go(func() { keys.run(ctx) })
	return v, nil
}

// Close ends what looks after the keys.
func (v *Verifier) Close() {
	v.stop()
	v.done.Wait()
	v.known.InvalidateAll()
	v.known.StopAllGoroutines()
}

// Verify tells whose the token is. A RefusedError: it counts for nobody. Any other
// error means that its key could not be had.
func (v *Verifier) Verify(ctx context.Context, token string) (*wire.Principal, error) {
	sum := sha256.Sum256([]byte(token))
	if k, ok := v.known.GetIfPresent(sum); ok && k.keys == v.keys.current.Load() && v.cfg.Now().Before(k.until) {
		return k.principal, nil
	}
	k, err := v.verify(ctx, token)
	if err != nil {
		return nil, err
	}
	v.known.Set(sum, k)
	return k.principal, nil
}

func (v *Verifier) verify(ctx context.Context, token string) (*verified, error) {
	claims := jwt.MapClaims{}
	k := &verified{}
	var unknown error
	_, err := v.parser.ParseWithClaims(token, claims, func(t *jwt.Token) (any, error) {
		// What an extension means is not known here: RFC 7515, section 4.1.11.
		if _, found := t.Header["crit"]; found {
			return nil, refused("it names extensions (crit) that are not understood")
		}
		id, found := t.Header["kid"].(string)
		if _, said := t.Header["kid"]; said && !found {
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
	k.until = now.Add(v.cfg.Remember)
	// A token with none has been refused.
	if expires, err := claims.GetExpirationTime(); err == nil && expires.Add(v.cfg.Leeway).Before(k.until) {
		k.until = expires.Add(v.cfg.Leeway)
	}
	return k, nil
}

// reasonOf is what a stranger may know of why a token was refused: the library's own
// words might hold parts of it.
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
