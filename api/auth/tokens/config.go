package tokens

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Config configures a Verifier. Issuer, Audience, and JWKS or SecretFile are required.
type Config struct {
	// Issuer is the required value of the claim iss.
	Issuer string
	// Audience is the required value in the claim aud.
	Audience string
	// JWKS is the place of the public keys: an https:// URL, an http:// URL on loopback,
	// or a file. Either JWKS or SecretFile is required; with both, a token could choose
	// which of them verifies it.
	JWKS string
	// SecretFile holds the secret of HS256, HS384 or HS512, at least as long as their
	// hashes, without a line break at its end.
	SecretFile string
	// Algorithms are those that a token may be signed with. Defaults to RS256, ES256
	// and EdDSA, or to HS256 with a SecretFile.
	Algorithms []string
	// TenantClaim names the claim of the tenant. Defaults to "tenant".
	TenantClaim string
	// Leeway is the tolerated difference to the clock of the issuer. Defaults to 30 s.
	Leeway time.Duration
	// Refresh is the time between two fetches of a JWKS, which drop withdrawn keys.
	// Files are checked each second. Defaults to 5 min.
	Refresh time.Duration
	// Refetch is the minimum time between two fetches that an unknown key causes, and
	// after a failed fetch. Defaults to 10 s.
	Refetch time.Duration
	// CacheTTL bounds the time for which a verified token is not verified again.
	// Defaults to 5 s.
	CacheTTL time.Duration
	// MaxCached bounds the number of cached tokens. Defaults to 10,000.
	MaxCached int
	// Client fetches a JWKS. Defaults to a client that follows no redirects, with a
	// timeout of 5 s.
	Client *http.Client
	// Now is the clock. Defaults to time.Now.
	Now func() time.Time
	// Logger defaults to slog.Default().
	Logger *slog.Logger
}

// secretAlgorithms are those that Algorithms may hold with a SecretFile.
func secretAlgorithms() []string { return []string{"HS256", "HS384", "HS512"} }

// keyAlgorithms are those that Algorithms may hold with a JWKS.
func keyAlgorithms() []string {
	return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
}

// Check returns every fault of the settings, or nil.
func (c *Config) Check() error {
	var errs []error
	wrong := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	wrong(c.Issuer == "", "the issuer (iss) of the tokens is missing")
	wrong(c.Audience == "", "the audience (aud) of the tokens is missing")
	wrong(c.JWKS == "" && c.SecretFile == "", "neither a JWKS nor a secret is set to verify tokens")
	wrong(c.JWKS != "" && c.SecretFile != "", "a JWKS and a secret exclude each other: a token could choose which of them verifies it")
	if c.JWKS != "" {
		if _, _, err := parseJWKS(c.JWKS); err != nil {
			errs = append(errs, err)
		}
	}
	known := keyAlgorithms()
	if c.SecretFile != "" {
		known = secretAlgorithms()
	}
	for _, algorithm := range c.Algorithms {
		wrong(!slices.Contains(known, algorithm), "algorithm %.20q is not one of %s", algorithm, strings.Join(known, ", "))
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"leeway", c.Leeway}, {"refresh", c.Refresh}, {"refetch", c.Refetch}, {"cache TTL", c.CacheTTL}} {
		wrong(d.value < 0, "%s %v is negative", d.name, d.value)
	}
	return errors.Join(errs...)
}

func (c *Config) setDefaults() {
	orDefault := func(d *time.Duration, or time.Duration) {
		if *d == 0 {
			*d = or
		}
	}
	orDefault(&c.Leeway, 30*time.Second)
	orDefault(&c.Refresh, 5*time.Minute)
	orDefault(&c.Refetch, 10*time.Second)
	orDefault(&c.CacheTTL, 5*time.Second)
	if len(c.Algorithms) == 0 {
		c.Algorithms = []string{"RS256", "ES256", "EdDSA"}
		if c.SecretFile != "" {
			c.Algorithms = []string{"HS256"}
		}
	}
	if c.TenantClaim == "" {
		c.TenantClaim = "tenant"
	}
	if c.MaxCached == 0 {
		c.MaxCached = 10_000
	}
	if c.Client == nil {
		c.Client = &http.Client{
			Timeout:       5 * time.Second,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
}
