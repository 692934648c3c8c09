package api

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

	"github.com/oskadev/mailroom/api/auth"
	"github.com/oskadev/mailroom/api/auth/keys"
	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/testsupport"
)

// BenchmarkAuthenticate is what it costs to know who calls, of a credential that was
// looked at a moment before.
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
		auth         Auth
	}{{"none", "", AuthNone}, {"key", key, AuthRequired}, {"token", token, AuthRequired}} {
		b.Run(way.name, func(b *testing.B) {
			e := newBenchEdge(b)
			auth, err := auth.New(conn, way.auth, &Tokens{Issuer: "issuer", Audience: "mailroom", JWKS: file}, conn.Log())
			require.NoError(b, err)
			b.Cleanup(auth.Close)
			c := e.call(b, fiber.MethodGet, "/users/1", "")
			if way.header != "" {
				c.Request().Header.Set(fiber.HeaderAuthorization, "Bearer "+way.header)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, f := auth.Authenticate(b.Context(), &c.Request().Header); f != nil {
					b.Fatal(f)
				}
			}
		})
	}
}
