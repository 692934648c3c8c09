package tokens

import (
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"maps"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/testsupport"
)

const patience = 20 * time.Second

func TestKeysAreRotated(t *testing.T) {
	t.Parallel()
	now := &clock{}
	before, after := newEd(t, "1"), newEd(t, "2")
	p := newProvider(t, jwks(t, before))
	v, _ := newVerifier(t, now, func(c *Config) { c.JWKS, c.CacheTTL = p.server.URL, time.Hour })
	old := before.sign(t, claims(now.Now(), nil))
	_, err := v.Verify(t.Context(), old)
	require.NoError(t, err)
	fetched := p.fetch.Load()

	p.serve(jwks(t, after))
	fresh := after.sign(t, claims(now.Now(), nil))
	now.advance(10 * time.Second)
	_, err = v.Verify(t.Context(), fresh)
	require.NoError(t, err, "the set is fetched for a key that is not known")
	assert.Equal(t, fetched+1, p.fetch.Load())
	assert.Contains(t, refusal(t, v, old), "key is not known", "also of a token that has been verified")
}

func TestWithdrawnKeysEndByThemselves(t *testing.T) {
	t.Parallel()
	now := &clock{}
	withdrawn, other := newEd(t, "1"), newEd(t, "2")
	p := newProvider(t, jwks(t, withdrawn, other))
	v, _ := newVerifier(t, now, func(c *Config) {
		c.JWKS, c.Refresh, c.CacheTTL = p.server.URL, 5*time.Millisecond, time.Hour
	})
	token := withdrawn.sign(t, claims(now.Now(), nil))
	_, err := v.Verify(t.Context(), token)
	require.NoError(t, err)
	p.serve(jwks(t, other))
	testsupport.Eventually(t, patience, "it counts no longer", func() bool {
		_, err := v.Verify(t.Context(), token)
		return err != nil
	})
	assert.Contains(t, refusal(t, v, token), "key is not known")
}

func TestUnknownKeysDoNotCauseAStorm(t *testing.T) {
	t.Parallel()
	now := &clock{}
	known := newEd(t, "known")
	p := newProvider(t, jwks(t, known))
	v, _ := newVerifier(t, now, func(c *Config) { c.JWKS = p.server.URL })
	testsupport.Eventually(t, patience, "it is fetched", func() bool { return v.keys.current.Load() != nil })
	storm := func() {
		var all sync.WaitGroup
		for i := range 8 {
			s := newEd(t, "unknown-"+string(rune('a'+i)))
			token := s.sign(t, claims(now.Now(), nil))
			all.Go(func() {
				for range 50 {
					_, err := v.Verify(t.Context(), token)
					assert.ErrorContains(t, err, "key is not known")
				}
			})
		}
		all.Wait()
	}
	storm()
	assert.EqualValues(t, 1, p.fetch.Load(), "it was fetched just now")
	now.advance(9999 * time.Millisecond)
	storm()
	assert.EqualValues(t, 1, p.fetch.Load())
	now.advance(time.Millisecond)
	storm()
	assert.EqualValues(t, 2, p.fetch.Load(), "once in 10 s")
}

func TestKnownKeysGoOnWithoutTheirServer(t *testing.T) {
	t.Parallel()
	now := &clock{}
	known, other := newEd(t, "known"), newEd(t, "other")
	p := newProvider(t, jwks(t, known))
	v, logs := newVerifier(t, now, func(c *Config) { c.JWKS = p.server.URL })
	_, err := v.Verify(t.Context(), known.sign(t, claims(now.Now(), nil)))
	require.NoError(t, err)
	for _, bad := range []string{"", "<html>", `{"keys":7}`, `{}`, strings.Repeat(" ", maxJWKS+1)} {
		p.serve(bad)
		now.advance(11 * time.Second)
		// Whether there is such a key by now is not known, so it is not said that there is none.
		_, err = v.Verify(t.Context(), other.sign(t, claims(now.Now(), nil)))
		var refused *RefusedError
		require.Error(t, err)
		require.NotErrorAs(t, err, &refused)
		_, err = v.Verify(t.Context(), known.sign(t, claims(now.Now(), nil)))
		require.NoError(t, err)
	}
	logs.Wait(t, "cannot load the keys of tokens")
	p.serve(jwks(t, other))
	now.advance(11 * time.Second)
	_, err = v.Verify(t.Context(), other.sign(t, claims(now.Now(), nil)))
	require.NoError(t, err)
	logs.Wait(t, "loaded again")
}

func TestWithoutKeysNothingIsKnown(t *testing.T) {
	t.Parallel()
	now := &clock{}
	p := newProvider(t, "")
	v, _ := newVerifier(t, now, func(c *Config) { c.JWKS = p.server.URL })
	_, err := v.Verify(t.Context(), newEd(t, "x").sign(t, claims(now.Now(), nil)))
	var refused *RefusedError
	require.Error(t, err)
	require.NotErrorAs(t, err, &refused)
	p.serve(`{"keys":[]}`)
	now.advance(11 * time.Second)
	assert.Contains(t, refusal(t, v, newEd(t, "x").sign(t, claims(now.Now(), nil))), "key is not known")
}

func TestAFileIsReadAgainWhenItChanged(t *testing.T) {
	t.Parallel()
	now := &clock{}
	before, after := newEd(t, "1"), newEd(t, "2-is-longer")
	name := writeFile(t, jwks(t, before))
	v, _ := newVerifier(t, now, func(c *Config) { c.JWKS = name })
	token := before.sign(t, claims(now.Now(), nil))
	_, err := v.Verify(t.Context(), token)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(name, []byte("{"), 0o600))
	now.advance(2 * time.Second)
	_, err = v.Verify(t.Context(), after.sign(t, claims(now.Now(), nil)))
	require.Error(t, err)
	_, err = v.Verify(t.Context(), token)
	require.NoError(t, err, "a file that is being written costs nothing")
	require.NoError(t, os.WriteFile(name, []byte(jwks(t, after)), 0o600))
	now.advance(2 * time.Second)
	_, err = v.Verify(t.Context(), after.sign(t, claims(now.Now(), nil)))
	require.NoError(t, err)
	refusal(t, v, token)
}

// The URL of a JWKS may hold a secret as its user or in its query.
func TestURLsAreLoggedWithoutSecrets(t *testing.T) {
	t.Parallel()
	p := newProvider(t, "")
	v, logs := newVerifier(t, &clock{}, func(c *Config) {
		c.JWKS = strings.Replace(p.server.URL, "http://", "http://canary1:canary2@", 1) + "/keys?token=canary3#canary4"
	})
	logs.Wait(t, "cannot load the keys of tokens")
	logs.Wait(t, p.server.URL+"/keys")
	_, err := v.Verify(t.Context(), newEd(t, "x").sign(t, claims(time.Unix(1_750_000_000, 0), nil)))
	require.Error(t, err)
	for _, secret := range []string{"canary1", "canary2", "canary3", "canary4"} {
		assert.False(t, logs.Contains(secret), secret)
		assert.NotContains(t, err.Error(), secret)
	}
	err = (&Config{Issuer: issuer, Audience: audience, JWKS: "http://canary1:canary2@keys.example/jwks?token=canary3"}).Check()
	require.ErrorContains(t, err, "http://keys.example/jwks")
	assert.NotContains(t, err.Error(), "canary")
}

func TestKeysThatVerifyNothing(t *testing.T) {
	t.Parallel()
	log, logs := testsupport.Logger(t)
	changed := func(s signer, changes map[string]any) map[string]any {
		fields := s.public(t)
		maps.Copy(fields, changes)
		return fields
	}
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	require.NoError(t, err)
	good := newEd(t, "good")
	encryption := newEd(t, "enc")
	signing := newEd(t, "signing")
	named := newEC(t, "named", elliptic.P256(), jwt.SigningMethodES256)
	weak := signer{method: jwt.SigningMethodRS256, kid: "weak", key: short}
	p384 := newEC(t, "p384", elliptic.P384(), jwt.SigningMethodES384)
	text, err := json.Marshal(map[string]any{"keys": []any{
		7,
		map[string]any{"kty": "oct", "kid": "oct", "k": "c2VjcmV0LWNhbmFyeQ"},
		map[string]any{"kty": "EC", "kid": "broken"},
		changed(encryption, map[string]any{"use": "enc"}), changed(signing, map[string]any{"key_ops": []string{"sign"}}),
		changed(named, map[string]any{"alg": "ES384"}), weak.public(t), p384.public(t),
		changed(good, map[string]any{"x5u": "http://127.0.0.1:1/", "use": "sig"}),
	}})
	require.NoError(t, err)
	set, err := readJWKS(text, log)
	require.NoError(t, err)
	assert.NotNil(t, set.find("good", "EdDSA"))
	for id, algorithm := range map[string]string{
		"oct": "HS256", "enc": "EdDSA", "signing": "EdDSA", "named": "ES256", "weak": "RS256", "p384": "ES256", "broken": "ES256",
	} {
		assert.Nil(t, set.find(id, algorithm), id)
	}
	assert.NotNil(t, set.find("p384", "ES384"))
	assert.False(t, logs.Contains("c2VjcmV0"))
	two, err := readJWKS([]byte(jwks(t, newEd(t, "a"), newEd(t, "b"))), log)
	require.NoError(t, err)
	assert.Nil(t, two.find("", "EdDSA"), "it could be either")
}

func TestConfigsAreCheckedAsAWhole(t *testing.T) {
	t.Parallel()
	_, err := New(Config{Algorithms: []string{"none"}, Leeway: -1})
	for _, want := range []string{"issuer", "audience", "neither", `"none"`, "leeway"} {
		require.ErrorContains(t, err, want)
	}
	valid := Config{Issuer: issuer, Audience: audience}
	for _, c := range []struct {
		want   string
		change func(*Config)
	}{
		{"exclude", func(c *Config) { c.JWKS, c.SecretFile = "a", "b" }},
		{`"HS256"`, func(c *Config) { c.JWKS, c.Algorithms = "a", []string{"RS256", "HS256"} }},
		{`"RS256"`, func(c *Config) { c.SecretFile, c.Algorithms = "a", []string{"RS256"} }},
		{"https://", func(c *Config) { c.JWKS = "http://keys.example/jwks" }},
		{"https://", func(c *Config) { c.JWKS = "http://127.0.0.1.example/jwks" }},
		{"https://", func(c *Config) { c.JWKS = "ftp://user:canary@127.0.0.1/jwks" }},
		{"not a valid URL", func(c *Config) { c.JWKS = "https://canary:\x00" }},
		{"does-not-exist", func(c *Config) { c.JWKS = "/does-not-exist" }},
		{"does-not-exist", func(c *Config) { c.SecretFile = "/does-not-exist" }},
		{"not a JWK Set", func(c *Config) { c.JWKS = writeFile(t, "canary") }},
		{"too short for HS256", func(c *Config) { c.SecretFile = writeFile(t, strings.Repeat("x", 31)+"\n\n") }},
		{"too short for HS512", func(c *Config) {
			c.SecretFile, c.Algorithms = writeFile(t, strings.Repeat("x", 63)), []string{"HS256", "HS512"}
		}},
	} {
		cfg := valid
		c.change(&cfg)
		_, err := New(cfg)
		require.ErrorContains(t, err, c.want)
		assert.NotContains(t, err.Error(), "canary")
	}
	for _, ok := range []string{"https://keys.example/jwks", "http://127.0.0.1:1/", "http://[::1]:1/", "http://localhost/"} {
		cfg := valid
		cfg.JWKS = ok
		require.NoError(t, cfg.Check(), ok)
	}
}
