package auth_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/gofiber/fiber/v2"
	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"github.com/oskadev/mailroom/api/auth"
	"github.com/oskadev/mailroom/api/auth/keys"
	"github.com/oskadev/mailroom/api/auth/tokens"
	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/testsupport"
)

// BenchmarkAuthenticate authenticates a caller whose credential is cached.
func BenchmarkAuthenticate(b *testing.B) {
	conn, err := bus.Connect(testsupport.Miniredis(b), bus.Options{Logger: slog.New(slog.DiscardHandler)})
	require.NoError(b, err)
	b.Cleanup(func() { _ = conn.Close() })
	key, _, err := keys.NewStore(conn).Create(b.Context(), keys.Key{Name: "n", Scopes: []string{"users:write"}}, 0)
	require.NoError(b, err)
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(b, err)
	jwk, err := jwkset.NewJWKFromKey(private.Public(), jwkset.JWKOptions{})
	require.NoError(b, err)
	text, err := json.Marshal(jwkset.JWKSMarshal{Keys: []jwkset.JWKMarshal{jwk.Marshal()}})
	require.NoError(b, err)
	file := filepath.Join(b.TempDir(), "jwks.json")
	require.NoError(b, os.WriteFile(file, text, 0o600))
	token, err := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{
		"iss": "issuer", "aud": "mailroom", "sub": "ada", "scope": "users:write", "exp": time.Now().Add(time.Hour).Unix(),
	}).SignedString(private)
	require.NoError(b, err)
	for _, way := range []struct {
		name, header string
		mode         auth.Mode
	}{{"none", "", auth.None}, {"key", key, auth.Required}, {"token", token, auth.Required}} {
		b.Run(way.name, func(b *testing.B) {
			authenticator, err := auth.New(conn, way.mode, &tokens.Config{Issuer: "issuer", Audience: "mailroom", JWKS: file}, conn.Log())
			require.NoError(b, err)
			b.Cleanup(authenticator.Close)
			header := &fasthttp.RequestHeader{}
			if way.header != "" {
				header.Set(fiber.HeaderAuthorization, "Bearer "+way.header)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, f := authenticator.Authenticate(b.Context(), header); f != nil {
					b.Fatal(f)
				}
			}
		})
	}
}
