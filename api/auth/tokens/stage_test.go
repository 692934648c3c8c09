package tokens

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/testsupport"
)

const (
	issuer   = "https://issuer.example"
	audience = "mailroom"
)

// clock is a clock that a test moves.
type clock struct{ moved atomic.Int64 }

func (c *clock) Now() time.Time {
	return time.Unix(1_750_000_000, 0).Add(time.Duration(c.moved.Load()))
}
func (c *clock) advance(d time.Duration) { c.moved.Add(int64(d)) }

// signer signs tokens with one key.
type signer struct {
	method jwt.SigningMethod
	kid    string
	key    any
}

// rsaKey is generated once, since that takes long.
var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err) //nolint:forbidigo // a test without a key is none
	}
	return key
})

func newEd(t testing.TB, kid string) signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	return signer{method: jwt.SigningMethodEdDSA, kid: kid, key: key}
}

func newEC(t testing.TB, kid string, curve elliptic.Curve, method jwt.SigningMethod) signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	require.NoError(t, err)
	return signer{method: method, kid: kid, key: key}
}

// claims returns the claims of an accepted token, with some changes; nil removes a claim.
func claims(now time.Time, changes jwt.MapClaims) jwt.MapClaims {
	c := jwt.MapClaims{
		"iss": issuer, "aud": audience, "sub": "ada", "exp": now.Add(time.Hour).Unix(), "iat": now.Unix(), "scope": "b a",
	}
	for name, value := range changes {
		if value == nil {
			delete(c, name)
			continue
		}
		c[name] = value
	}
	return c
}

func (s signer) sign(t testing.TB, c jwt.MapClaims, header ...string) string {
	t.Helper()
	token := jwt.NewWithClaims(s.method, c)
	if s.kid != "" {
		token.Header["kid"] = s.kid
	}
	for i := 0; i+1 < len(header); i += 2 {
		token.Header[header[i]] = header[i+1]
	}
	text, err := token.SignedString(s.key)
	require.NoError(t, err)
	return text
}

func (s signer) public(t testing.TB) map[string]any {
	t.Helper()
	private, ok := s.key.(crypto.Signer)
	require.True(t, ok)
	jwk, err := jwkset.NewJWKFromKey(private.Public(), jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{KID: s.kid}})
	require.NoError(t, err)
	text, err := json.Marshal(jwk.Marshal())
	require.NoError(t, err)
	var fields map[string]any
	require.NoError(t, json.Unmarshal(text, &fields))
	return fields
}

func jwks(t testing.TB, signers ...signer) string {
	t.Helper()
	keys := make([]map[string]any, len(signers))
	for i, s := range signers {
		keys[i] = s.public(t)
	}
	text, err := json.Marshal(map[string]any{"keys": keys})
	require.NoError(t, err)
	return string(text)
}

func writeFile(t testing.TB, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "keys")
	require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
	return name
}

// provider serves a JWKS on loopback and counts its fetches.
type provider struct {
	server *httptest.Server
	fetch  atomic.Int64
	mu     sync.Mutex
	text   string // empty: it fails
}

func newProvider(t testing.TB, text string) *provider {
	t.Helper()
	p := &provider{text: text}
	p.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		p.fetch.Add(1)
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.text == "" {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		_, _ = w.Write([]byte(p.text))
	}))
	t.Cleanup(p.server.Close)
	return p
}

func (p *provider) serve(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text = text
}

// newVerifier returns a verifier for tokens of the issuer, with a clock of the test.
func newVerifier(t testing.TB, now *clock, change func(*Config)) (*Verifier, *testsupport.Logs) {
	t.Helper()
	log, logs := testsupport.Logger(t)
	transport := &http.Transport{DisableKeepAlives: true}
	cfg := Config{
		Issuer: issuer, Audience: audience, Now: now.Now, Logger: log,
		Client: &http.Client{Transport: transport, Timeout: 10 * time.Second},
	}
	change(&cfg)
	v, err := New(cfg)
	require.NoError(t, err)
	t.Cleanup(v.Close)
	return v, logs
}

// refusal returns the reason for which a token is refused.
func refusal(t testing.TB, v *Verifier, token string) string {
	t.Helper()
	p, err := v.Verify(t.Context(), token)
	require.Nil(t, p)
	var refused *RefusedError
	require.ErrorAs(t, err, &refused)
	return refused.Reason
}
