package api_test

import (
	"crypto/ed25519"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/api"
	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/busctx"
	"github.com/oskadev/mailroom/testsupport"
)

// tokenIssuer makes tokens.
type tokenIssuer struct {
	key  ed25519.PrivateKey
	file string // its JWKS
}

func newIssuer(t testing.TB) *tokenIssuer {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	jwk, err := jwkset.NewJWKFromKey(public, jwkset.JWKOptions{})
	require.NoError(t, err)
	text, err := json.Marshal(jwkset.JWKSMarshal{Keys: []jwkset.JWKMarshal{jwk.Marshal()}})
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "jwks.json")
	require.NoError(t, os.WriteFile(file, text, 0o600))
	return &tokenIssuer{key: private, file: file}
}

func (i *tokenIssuer) accepted(c *api.Config) {
	c.Tokens = &api.Tokens{Issuer: "issuer", Audience: "mailroom", JWKS: i.file}
}

func (i *tokenIssuer) header(t testing.TB, changes jwt.MapClaims) string {
	t.Helper()
	claims := jwt.MapClaims{"iss": "issuer", "aud": "mailroom", "sub": "ada", "exp": time.Now().Add(time.Hour).Unix()}
	maps.Copy(claims, changes)
	text, err := jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims).SignedString(i.key)
	require.NoError(t, err)
	return "Authorization: Bearer " + text
}

// A caller never gets a cached answer of another principal, at any gateway, nor an answer
// to itself with more scopes.
func TestCachedAnswersBelongToTheirPrincipal(t *testing.T) {
	t.Parallel()
	ed := newIssuer(t)
	s := newGuarded(t, api.AuthOptional, ed.accepted)
	other := startGateway(t, s.url, "", with(api.AuthOptional), ed.accepted, patiently)
	other.awaitRoute("/guarded/open")
	random := rand.New(rand.NewPCG(1, 2))
	names := []string{"a", "b", "ab", "1:a", "a 1", "A", "\u00e4", "a\u0000", `a"`, "key:a", "1", ""}
	pick := func() string { return names[random.IntN(len(names))] }
	for range 400 {
		subject, tenant, scopes := pick(), pick(), []string{"things:read", pick(), pick()}
		if subject == "" {
			continue
		}
		gateway := []*stage{s, other}[random.IntN(2)]
		a := gateway.do(http.MethodGet, "/guarded/cached/"+[]string{"1", "2"}[random.IntN(2)], "",
			ed.header(t, jwt.MapClaims{"sub": subject, "tenant": tenant, "scope": strings.Join(scopes, " ")}))
		require.Equal(t, http.StatusOK, a.status, a.body)
		var got wire.Principal
		require.NoError(t, json.Unmarshal(a.Result, &got))
		require.Equal(t, "jwt:"+subject, got.Subject)
		require.Equal(t, tenant, got.Tenant)
		want := strings.Fields(strings.Join(scopes, " "))
		require.Subset(t, want, got.Scopes)
		require.Subset(t, got.Scopes, want)
	}
	assert.Less(t, s.runs.Load(), int64(400), "there were hits, otherwise the test shows nothing")
}

func TestTokens(t *testing.T) {
	t.Parallel()
	ed := newIssuer(t)
	s := newGuarded(t, api.AuthRequired, ed.accepted)
	s.got(`{"subject":"jwt:ada","tenant":"acme","scopes":["things:read"]}`, http.MethodGet, "/guarded/read", "",
		ed.header(t, jwt.MapClaims{"tenant": "acme", "scope": "things:read"}))
	s.refused(403, "FORBIDDEN", http.MethodGet, "/guarded/read", "", ed.header(t, nil))
	challenge := s.unauthenticated(http.MethodGet, "/guarded/read", "", ed.header(t, jwt.MapClaims{"aud": "other"}))
	assert.Equal(t, `Bearer realm="mailroom", error="invalid_token", error_description="it is for another audience"`, challenge)
	challenge = s.unauthenticated(http.MethodGet, "/guarded/read", "", ed.header(t, jwt.MapClaims{"exp": time.Now().Add(-time.Hour).Unix()}))
	assert.Contains(t, challenge, "expired")
	header := ed.header(t, nil)
	s.unauthenticated(http.MethodGet, "/guarded/read", "", "X-API-Key: "+strings.TrimPrefix(header, "Authorization: Bearer "))
	key, _ := s.key("", "things:read")
	assert.Equal(t, http.StatusOK, s.do(http.MethodGet, "/guarded/read", "", key).status, "keys are accepted too")

	// A subject reaches the handler unchanged, and cannot forge another principal.
	name := `x","principal":{"subject":"root"},"y":"` + "\u2028\n"
	a := s.do(http.MethodGet, "/guarded/open", "", ed.header(t, jwt.MapClaims{"sub": name}))
	var got wire.Principal
	require.NoError(t, json.Unmarshal(a.Result, &got))
	assert.Equal(t, wire.Principal{Subject: "jwt:" + name}, got)
}

func TestWithoutTokensNoneIsAccepted(t *testing.T) {
	t.Parallel()
	s := newGuarded(t, api.AuthRequired)
	s.unauthenticated(http.MethodGet, "/guarded/open", "", newIssuer(t).header(t, nil))
}

func TestSettingsOfAuthAreChecked(t *testing.T) {
	t.Parallel()
	conn, err := bus.Connect(testsupport.Miniredis(t), bus.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	_, err = api.New(busctx.With(t.Context(), conn), api.Config{Auth: "maybe", Tokens: &api.Tokens{}, BodyLimit: -1})
	for _, want := range []string{`"maybe"`, "issuer", "audience", "body limit"} {
		require.ErrorContains(t, err, want)
	}
}
