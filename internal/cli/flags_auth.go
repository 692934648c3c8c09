package cli

import (
	"errors"

	"github.com/oskadev/mailroom/api"
	"github.com/oskadev/mailroom/api/tokens"
)

// authFlags say who may call a gateway.
type authFlags struct {
	Auth           api.Auth `placeholder:"none|optional|required" help:"Whether callers have to say who they are, by an API key or a token. An api has to be told; dev lets everybody in unless told otherwise."`
	JWTIssuer      string   `name:"jwt-issuer" help:"Accept tokens of this issuer (iss)."`
	JWTAudience    string   `name:"jwt-audience" help:"The audience (aud) that tokens have to be for."`
	JWTJWKS        string   `name:"jwt-jwks" placeholder:"URL|FILE" help:"The public keys of tokens: https://, http:// on loopback, or a file."`
	JWTSecretFile  string   `name:"jwt-secret-file" placeholder:"FILE" help:"The secret of tokens, instead of public keys."`
	JWTAlgorithms  []string `name:"jwt-algorithms" help:"What tokens may be signed with. RS256,ES256,EdDSA, or HS256 with a secret, unless given."`
	JWTTenantClaim string   `name:"jwt-tenant-claim" default:"tenant" help:"The claim of tokens that names the tenant."`
}

// tokens is what the flags say of tokens; nil: none are accepted.
func (f *authFlags) tokens() *tokens.Config {
	if f.JWTIssuer == "" && f.JWTAudience == "" && f.JWTJWKS == "" && f.JWTSecretFile == "" && len(f.JWTAlgorithms) == 0 {
		return nil
	}
	return &tokens.Config{
		Issuer: f.JWTIssuer, Audience: f.JWTAudience, JWKS: f.JWTJWKS, SecretFile: f.JWTSecretFile,
		Algorithms: f.JWTAlgorithms, TenantClaim: f.JWTTenantClaim,
	}
}

// errNoAuth: letting everybody in is a choice that somebody has to make.
func errNoAuth() error {
	return &exitError{code: exitUsage, err: errors.New("who may call? give --auth required, to let in callers with an API key (mailroom keys create) or a token; " +
		"--auth optional, to let in others for what wants no scope; or --auth none, to let everybody do everything. " +
		"MAILROOM_AUTH, or auth in the config file, does as well")}
}

// whoMayCall is a line for people who try things out.
func (f *authFlags) whoMayCall(redis string) string {
	if f.Auth == api.AuthNone {
		return "It asks nobody who they are (--auth none)."
	}
	return "Callers have to have a key (--auth " + string(f.Auth) + "):\n  mailroom keys create --name me --redis " + redis
}
