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

// Config of a Verifier.
type Config struct {
	// Issuer has to be the claim iss. Required.
	Issuer string
	// Audience has to be in the claim aud. Required.
	Audience string
	// JWKS says where the public keys are: an https:// URL, an http:// one on
	// loopback, or a file. Either this or SecretFile is required; both would let a
	// token choose what a key is.
	JWKS string
	// SecretFile holds the secret of HS256, HS384 or HS512, at least as long as
	// their hashes; a line break at its end does not count.
	SecretFile string
	// Algorithms that a token may be signed with. Defaults to RS256, ES256 and
	// EdDSA, or to HS256 where there is a secret.
	Algorithms []string
	// TenantClaim names the claim of the tenant. Defaults to "tenant".
	TenantClaim string
	// Leeway is how far the clock of whoever made a token may be off.
	// Defaults to 30 s.
	Leeway time.Duration
	// Refresh is how often a JWKS is fetched anew, so that a key that was withdrawn
	// counts no longer. Files are looked at each second. Defaults to 5 min.
	Refresh time.Duration
	// Refetch is how long a JWKS is not fetched again for a token whose key is not
	// known, nor after a failure. Defaults to 10 s.
	Refetch time.Duration
	// Remember is how long a token that was verified is not verified again, at most.
	// Defaults to 5 s.
	Remember time.Duration
	// MostKnown bounds how many are remembered. Defaults to 10,000.
	MostKnown int
	// Client fetches a JWKS. Defaults to one that follows no redirects, and waits
	// for 5 s.
	Client *http.Client
	// Now is the clock. Defaults to time.Now.
	Now func() time.Time
	// Logger defaults to slog.Default().
	Logger *slog.Logger
}

// secretAlgorithms and keyAlgorithms are all that may be chosen of.
func secretAlgorithms() []string { return []string{"HS256", "HS384", "HS512"} }

func keyAlgorithms() []string {
	return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
}

// Check names everything that is wrong.
func (c *Config) Check() error {
	var errs []error
	wrong := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	wrong(c.Issuer == "", "the issuer (iss) of the tokens is not given")
	wrong(c.Audience == "", "the audience (aud) of the tokens is not given")
	wrong(c.JWKS == "" && c.SecretFile == "", "there is neither a JWKS nor a secret to verify tokens by")
	wrong(c.JWKS != "" && c.SecretFile != "", "a JWKS and a secret exclude each other: a token could choose which of them its signature is checked by")
	if c.JWKS != "" {
		if _, _, err := whereIs(c.JWKS); err != nil {
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
	}{{"leeway", c.Leeway}, {"refresh", c.Refresh}, {"refetch", c.Refetch}, {"remember", c.Remember}} {
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
	orDefault(&c.Remember, 5*time.Second)
	if len(c.Algorithms) == 0 {
		c.Algorithms = []string{"RS256", "ES256", "EdDSA"}
		if c.SecretFile != "" {
			c.Algorithms = []string{"HS256"}
		}
	}
	if c.TenantClaim == "" {
		c.TenantClaim = "tenant"
	}
	if c.MostKnown == 0 {
		c.MostKnown = 10_000
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
