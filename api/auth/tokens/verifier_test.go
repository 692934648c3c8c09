package tokens

import (
	"crypto/elliptic"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus/wire"
)

func TestEveryAlgorithmThatIsPinned(t *testing.T) {
	t.Parallel()
	now := &clock{}
	ed := newEd(t, "ed")
	rs := signer{method: jwt.SigningMethodRS256, kid: "rs", key: rsaKey()}
	es := newEC(t, "es", elliptic.P256(), jwt.SigningMethodES256)
	v, _ := newVerifier(t, now, func(c *Config) { c.JWKS = writeFile(t, jwks(t, ed, rs, es)) })
	for _, s := range []signer{ed, rs, es} {
		for range 2 {
			p, err := v.Verify(t.Context(), s.sign(t, claims(now.Now(), jwt.MapClaims{"tenant": "acme"})))
			require.NoError(t, err, s.kid)
			assert.Equal(t, &wire.Principal{Subject: "jwt:ada", Tenant: "acme", Scopes: []string{"a", "b"}}, p)
		}
	}
	// Algorithms that were not chosen, with keys that fit them.
	for _, method := range []jwt.SigningMethod{jwt.SigningMethodRS384, jwt.SigningMethodRS512, jwt.SigningMethodPS256} {
		s := signer{method: method, kid: "rs", key: rsaKey()}
		assert.Contains(t, refusal(t, v, s.sign(t, claims(now.Now(), nil))), "algorithm")
	}
	// Without a kid, the only key that fits.
	anonymous := signer{method: ed.method, key: ed.key}
	_, err := v.Verify(t.Context(), anonymous.sign(t, claims(now.Now(), nil)))
	require.NoError(t, err)
}

func TestTokensThatSwapTheirAlgorithms(t *testing.T) {
	t.Parallel()
	now := &clock{}
	rs := signer{method: jwt.SigningMethodRS256, kid: "rs", key: rsaKey()}
	es := newEC(t, "es", elliptic.P256(), jwt.SigningMethodES256)
	v, _ := newVerifier(t, now, func(c *Config) { c.JWKS = writeFile(t, jwks(t, rs, es)) })
	none := signer{method: jwt.SigningMethodNone, key: jwt.UnsafeAllowNoneSignatureType}
	assert.Contains(t, refusal(t, v, none.sign(t, claims(now.Now(), nil))), "algorithm")
	none.kid = "rs"
	assert.Contains(t, refusal(t, v, none.sign(t, claims(now.Now(), nil))), "algorithm")

	// The public key, which everybody knows, as the secret of an HMAC.
	der, err := x509.MarshalPKIXPublicKey(&rsaKey().PublicKey)
	require.NoError(t, err)
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	for _, secret := range [][]byte{public, der, rsaKey().N.Bytes()} {
		hs := signer{method: jwt.SigningMethodHS256, kid: "rs", key: secret}
		assert.Contains(t, refusal(t, v, hs.sign(t, claims(now.Now(), nil))), "algorithm")
	}
	// The right signature of another key's algorithm.
	swapped := signer{method: es.method, kid: "rs", key: es.key}
	assert.Contains(t, refusal(t, v, swapped.sign(t, claims(now.Now(), nil))), "key is not known")
	for _, alg := range []string{"none", "NONE", "nOnE", "HS256", "", "RS256 "} {
		parts := strings.Split(rs.sign(t, claims(now.Now(), nil)), ".")
		header, err := json.Marshal(map[string]string{"alg": alg, "kid": "rs"})
		require.NoError(t, err)
		parts[0] = base64.RawURLEncoding.EncodeToString(header)
		refusal(t, v, strings.Join(parts, "."))
		refusal(t, v, parts[0]+"."+parts[1]+".")
	}
}

func TestClaimsThatDoNotLetIn(t *testing.T) {
	t.Parallel()
	now := &clock{}
	ed := newEd(t, "ed")
	v, _ := newVerifier(t, now, func(c *Config) { c.JWKS = writeFile(t, jwks(t, ed)) })
	at := func(d time.Duration) int64 { return now.Now().Add(d).Unix() }
	for _, c := range []struct {
		name    string
		changes jwt.MapClaims
		want    string // empty: it is let in
	}{
		{"issuer", jwt.MapClaims{"iss": issuer + "/"}, "another issuer"},
		{"no issuer", jwt.MapClaims{"iss": nil}, "lacks a claim"},
		{"audience", jwt.MapClaims{"aud": "other"}, "another audience"},
		{"audiences", jwt.MapClaims{"aud": []string{"other", "mailroom2"}}, "another audience"},
		{"one of the audiences", jwt.MapClaims{"aud": []string{"other", audience}}, ""},
		{"no audience", jwt.MapClaims{"aud": nil}, "lacks a claim"},
		{"expired", jwt.MapClaims{"exp": at(-31 * time.Second)}, "has expired"},
		{"within the leeway", jwt.MapClaims{"exp": at(-29 * time.Second)}, ""},
		{"no exp", jwt.MapClaims{"exp": nil}, "lacks a claim"},
		{"exp is text", jwt.MapClaims{"exp": "never"}, "claims"},
		{"not yet", jwt.MapClaims{"nbf": at(31 * time.Second)}, "not valid yet"},
		{"nbf within the leeway", jwt.MapClaims{"nbf": at(29 * time.Second)}, ""},
		{"no subject", jwt.MapClaims{"sub": nil}, "no subject"},
		{"empty subject", jwt.MapClaims{"sub": ""}, "no subject"},
		{"subject is a number", jwt.MapClaims{"sub": 7}, ""},
		{"tenant is a number", jwt.MapClaims{"tenant": 7}, "tenant"},
		{"scopes are a number", jwt.MapClaims{"scope": 7}, "scopes"},
		{"a scope is a number", jwt.MapClaims{"scope": []any{"a", 7}}, "scopes"},
		{"no scopes", jwt.MapClaims{"scope": nil}, ""},
		{"iat is text", jwt.MapClaims{"iat": "1750000000"}, "(iat) is not a number"},
		{"iat is null", jwt.MapClaims{"iat": json.RawMessage("null")}, "(iat) is not a number"},
		{"iat is a list", jwt.MapClaims{"iat": []int{1}}, "(iat) is not a number"},
		{"iat is a fraction", jwt.MapClaims{"iat": 1.5e9 + 0.25}, ""},
		{"no iat", jwt.MapClaims{"iat": nil}, ""},
		{"exp is true", jwt.MapClaims{"exp": true}, "claims"},
		{"exp is null", jwt.MapClaims{"exp": json.RawMessage("null")}, "claims"},
		{"nbf is text", jwt.MapClaims{"nbf": "1"}, "claims"},
		{"nbf is null", jwt.MapClaims{"nbf": json.RawMessage("null")}, "claims"},
		{"a lone surrogate", jwt.MapClaims{"sub": json.RawMessage(`"ada\ud800"`)}, "not valid Unicode"},
		{"a low surrogate", jwt.MapClaims{"sub": json.RawMessage(`"\udc00"`)}, "not valid Unicode"},
		{"invalid UTF-8", jwt.MapClaims{"sub": json.RawMessage("\"ada\xff\"")}, "not valid Unicode"},
		{"a pair of surrogates", jwt.MapClaims{"sub": json.RawMessage(`"\ud83d\ude00"`)}, ""},
		{"a lone surrogate in the tenant", jwt.MapClaims{"tenant": json.RawMessage(`"\ud800"`)}, "not valid Unicode"},
	} {
		token := ed.sign(t, claims(now.Now(), c.changes))
		if c.name == "subject is a number" {
			c.want = "no subject"
		}
		if c.want != "" {
			assert.Contains(t, refusal(t, v, token), c.want, c.name)
			continue
		}
		_, err := v.Verify(t.Context(), token)
		require.NoError(t, err, c.name)
	}
}

func TestScopesAndTenantsOfTokens(t *testing.T) {
	t.Parallel()
	now := &clock{}
	ed := newEd(t, "ed")
	v, _ := newVerifier(t, now, func(c *Config) {
		c.JWKS = writeFile(t, jwks(t, ed))
		c.TenantClaim = "org"
	})
	for _, c := range []struct {
		changes jwt.MapClaims
		scopes  []string
		tenant  string
	}{
		{jwt.MapClaims{"scope": " b  a b"}, []string{"a", "b"}, ""},
		{jwt.MapClaims{"scope": []string{"b", "a"}, "org": "acme", "tenant": "other"}, []string{"a", "b"}, "acme"},
		{jwt.MapClaims{"scope": nil, "scp": "x y"}, []string{"x", "y"}, ""},
		{jwt.MapClaims{"scope": nil, "scp": []string{"x"}}, []string{"x"}, ""},
		{jwt.MapClaims{"scope": "a", "scp": "root"}, []string{"a"}, ""},
		{jwt.MapClaims{"scope": ""}, nil, ""},
		{jwt.MapClaims{"scope": "a\troot b\u00a0root c\u0085root d\u2028root e\nroot"}, []string{"a\troot", "b\u00a0root", "c\u0085root", "d\u2028root", "e\nroot"}, ""},
		{jwt.MapClaims{"scope": nil}, nil, ""},
	} {
		p, err := v.Verify(t.Context(), ed.sign(t, claims(now.Now(), c.changes)))
		require.NoError(t, err, c.changes)
		assert.ElementsMatch(t, c.scopes, p.Scopes, c.changes)
		assert.Equal(t, c.tenant, p.Tenant)
	}
}

func TestATokenWithOneBitChangedIsNone(t *testing.T) {
	t.Parallel()
	now := &clock{}
	ed := newEd(t, "ed")
	v, _ := newVerifier(t, now, func(c *Config) { c.JWKS = writeFile(t, jwks(t, ed)) })
	token := ed.sign(t, claims(now.Now(), nil))
	_, err := v.Verify(t.Context(), token)
	require.NoError(t, err)
	for i := range len(token) {
		for bit := range 8 {
			changed := []byte(token)
			changed[i] ^= 1 << bit
			reason := refusal(t, v, string(changed))
			assert.NotContains(t, reason, "ada")
		}
	}
	for _, bad := range []string{"", ".", "..", "a.b.c", token + ".x", token + "=", " " + token, token[:len(token)-1], strings.Repeat("x", 8000)} {
		refusal(t, v, bad)
	}
}

func TestHeadersThatAreNotUnderstood(t *testing.T) {
	t.Parallel()
	now := &clock{}
	ed := newEd(t, "ed")
	v, _ := newVerifier(t, now, func(c *Config) { c.JWKS = writeFile(t, jwks(t, ed)) })
	assert.Contains(t, refusal(t, v, ed.sign(t, claims(now.Now(), nil), "crit", "b64")), "crit")
	// A key that comes with the token is not looked at.
	mine := newEd(t, "ed")
	token := jwt.NewWithClaims(mine.method, claims(now.Now(), nil))
	token.Header["kid"], token.Header["jwk"], token.Header["jku"] = "ed", mine.public(t), "http://127.0.0.1:1/"
	text, err := token.SignedString(mine.key)
	require.NoError(t, err)
	assert.Contains(t, refusal(t, v, text), "signature")
	token.Header["kid"] = 7
	text, err = token.SignedString(mine.key)
	require.NoError(t, err)
	assert.Contains(t, refusal(t, v, text), "kid")
}

func TestAVerifiedTokenEndsInTime(t *testing.T) {
	t.Parallel()
	now := &clock{}
	ed := newEd(t, "ed")
	v, _ := newVerifier(t, now, func(c *Config) { c.JWKS = writeFile(t, jwks(t, ed)) })
	token := ed.sign(t, claims(now.Now(), jwt.MapClaims{"exp": now.Now().Add(2 * time.Second).Unix()}))
	_, err := v.Verify(t.Context(), token)
	require.NoError(t, err)
	now.advance(31 * time.Second)
	_, err = v.Verify(t.Context(), token)
	require.NoError(t, err)
	now.advance(time.Second)
	assert.Contains(t, refusal(t, v, token), "expired", "although it was verified a second ago")
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	now := &clock{}
	secret := strings.Repeat("s", 32)
	v, _ := newVerifier(t, now, func(c *Config) { c.SecretFile = writeFile(t, secret+"\n") })
	hs := signer{method: jwt.SigningMethodHS256, key: []byte(secret)}
	p, err := v.Verify(t.Context(), hs.sign(t, claims(now.Now(), nil)))
	require.NoError(t, err)
	assert.Equal(t, "jwt:ada", p.Subject)
	hs.key = []byte(strings.Repeat("s", 31) + "t")
	assert.Contains(t, refusal(t, v, hs.sign(t, claims(now.Now(), nil))), "signature")
	hs = signer{method: jwt.SigningMethodHS512, key: []byte(secret)}
	assert.Contains(t, refusal(t, v, hs.sign(t, claims(now.Now(), nil))), "algorithm")
	rs := signer{method: jwt.SigningMethodRS256, key: rsaKey()}
	assert.Contains(t, refusal(t, v, rs.sign(t, claims(now.Now(), nil))), "algorithm")
	none := signer{method: jwt.SigningMethodNone, key: jwt.UnsafeAllowNoneSignatureType}
	assert.Contains(t, refusal(t, v, none.sign(t, claims(now.Now(), nil))), "algorithm")
}

func BenchmarkKnownToken(b *testing.B) {
	now := &clock{}
	rs := signer{method: jwt.SigningMethodRS256, kid: "rs", key: rsaKey()}
	v, _ := newVerifier(b, now, func(c *Config) { c.JWKS = writeFile(b, jwks(b, rs)) })
	token := rs.sign(b, claims(now.Now(), nil))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(b.Context(), token); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNewToken(b *testing.B) {
	now := &clock{}
	rs := signer{method: jwt.SigningMethodRS256, kid: "rs", key: rsaKey()}
	v, _ := newVerifier(b, now, func(c *Config) { c.JWKS = writeFile(b, jwks(b, rs)) })
	token := rs.sign(b, claims(now.Now(), nil))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.verify(b.Context(), token); err != nil {
			b.Fatal(err)
		}
	}
}
