package auth

import (
	"bytes"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/oskadev/mailroom/api/auth/keys"
	"github.com/oskadev/mailroom/api/exchange"
	"github.com/oskadev/mailroom/bus/wire"
)

const headerAPIKey = "X-Api-Key" //nolint:gosec // the name of a header

// maxCredential is the maximum length of a credential, in bytes.
const maxCredential = 8 << 10

// CredentialOf returns the credential in the headers of a request. It refuses more than
// one (RFC 6750, section 2): a proxy may have checked another one than we would.
func CredentialOf(h *fasthttp.RequestHeader) (text string, found bool, f *exchange.Failure) {
	authorization, n := header(h, fiber.HeaderAuthorization)
	key, m := header(h, headerAPIKey)
	switch {
	case n+m == 0:
		return "", false, nil
	case n+m > 1:
		f = exchange.Fail(wire.CodeBadRequest, "more than one credential: send one header Authorization, or one X-API-Key")
		f.Challenge = challenge + `, error="invalid_request"`
		return "", true, f
	case len(authorization)+len(key) > maxCredential:
		return "", true, badCredential("it is too long")
	case m > 0:
		if !bytes.HasPrefix(key, []byte(keys.Prefix)) {
			return "", true, badCredential("X-API-Key holds no API key")
		}
		return string(key), true, nil
	}
	scheme, credential, _ := bytes.Cut(authorization, []byte(" "))
	if !bytes.EqualFold(scheme, []byte("Bearer")) {
		return "", true, badCredential("want Authorization: Bearer, and a key or token")
	}
	return string(bytes.TrimLeft(credential, " ")), true, nil
}

// header returns the first value of a header and the number of its values.
func header(h *fasthttp.RequestHeader, name string) ([]byte, int) {
	values := h.PeekAll(name)
	if len(values) == 0 {
		return nil, 0
	}
	return values[0], len(values)
}

// challenge is the beginning of the header WWW-Authenticate
// (https://www.rfc-editor.org/rfc/rfc6750#section-3).
const challenge = `Bearer realm="mailroom"`

// noCredential returns the failure for a missing credential.
func noCredential() *exchange.Failure {
	f := exchange.Fail(wire.CodeUnauthenticated, "who calls? send Authorization: Bearer with an API key or a token, or X-API-Key")
	f.Challenge = challenge
	return f
}

// badCredential returns the failure for a credential that is not accepted. The reason
// must hold nothing of the credential.
func badCredential(reason string) *exchange.Failure {
	f := exchange.Fail(wire.CodeUnauthenticated, "the credential is not accepted: "+reason)
	f.Challenge = challenge + `, error="invalid_token", error_description="` + reason + `"`
	return f
}
