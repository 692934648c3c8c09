package cli

import (
	"errors"

	"github.com/oskadev/mailroom/api"
)

// authFlags choose who may call a gateway.
type authFlags struct {
	Auth           api.Auth `placeholder:"none|optional|required" help:"Whether callers need an API key or a token: none, optional or required; api has no default, dev defaults to none."`
	JWTIssuer      string   `name:"jwt-issuer" help:"Issuer (iss) of the tokens to accept."`
	JWTAudience    string   `name:"jwt-audience" help:"Audience (aud) of the tokens to accept."`
	JWTJWKS        string   `name:"jwt-jwks" placeholder:"URL|FILE" help:"Public keys of tokens, a JWKS: https://, http:// on loopback, or a file."`
	JWTSecretFile  string   `name:"jwt-secret-file" placeholder:"FILE" help:"File with the secret of tokens, in place of public keys."`
	JWTAlgorithms  []string `name:"jwt-algorithms" help:"Algorithms to accept (default: RS256,ES256,EdDSA; HS256 with a secret)."`
	JWTTenantClaim string   `name:"jwt-tenant-claim" default:"tenant" help:"Claim of a token that names the tenant."`
}

// tokens returns the configuration of tokens, or nil when none are accepted.
func (f *authFlags) tokens() *api.Tokens {
	if f.JWTIssuer == "" && f.JWTAudience == "" && f.JWTJWKS == "" && f.JWTSecretFile == "" && len(f.JWTAlgorithms) == 0 {
		return nil
	}
	return &api.Tokens{
		Issuer: f.JWTIssuer, Audience: f.JWTAudience, JWKS: f.JWTJWKS, SecretFile: f.JWTSecretFile,
		Algorithms: f.JWTAlgorithms, TenantClaim: f.JWTTenantClaim,
	}
}

// errNoAuth makes the error of a gateway without --auth. There is no default,
// so that no gateway is open by accident.
func errNoAuth() error {
	return usage(errors.New("--auth is missing: give --auth required, to admit callers with an API key (mailroom keys create) or a token; " +
		"--auth optional, to admit others to actions that need no scope; or --auth none, to admit everybody to everything. " +
		"MAILROOM_AUTH and the key auth of the config file set it too"))
}

// greeting returns the last line of the greeting.
func (f *authFlags) greeting(redis string) string {
	if f.Auth == api.AuthNone {
		return "Callers need no API key (--auth none)."
	}
	return "Callers need an API key (--auth " + string(f.Auth) + "):\n  mailroom keys create --name me --redis " + redis
}
