package auth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/oskadev/mailroom/api/auth/keys"
	"github.com/oskadev/mailroom/api/auth/tokens"
	"github.com/oskadev/mailroom/api/exchange"
	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/registry"
	"github.com/oskadev/mailroom/bus/wire"
)

// Auth says whether callers have to say who they are.
type Mode string

// The ways to let callers in.
const (
	None     Mode = "none"     // credentials are not looked at, and scopes are not checked
	Optional Mode = "optional" // who has none is nobody, and may do what wants no scope
	Required Mode = "required" // who has none is let in nowhere
)

// UnmarshalText reads a setting.
func (a *Mode) UnmarshalText(text []byte) error {
	switch read := Mode(text); read {
	case None, Optional, Required:
		*a = read
		return nil
	default:
		return read.Unknown()
	}
}

func (a Mode) Unknown() error {
	return fmt.Errorf("auth %.20q: want %s, %s or %s", string(a), None, Optional, Required)
}

// authenticator finds out who calls, and what the caller may do.
type Authenticator struct {
	mode     Mode
	keys     *keys.Verifier   // nil: credentials are ignored
	tokens   *tokens.Verifier // nil: tokens are not accepted
	log      *slog.Logger
	unscoped sync.Once // the warning that scopes are not checked
}

// newAuthenticator opens what verifies credentials. Close it.
func New(conn *bus.Conn, mode Mode, cfg *tokens.Config, log *slog.Logger) (*Authenticator, error) {
	a := &Authenticator{mode: mode, log: log}
	if mode == None {
		return a, nil
	}
	var err error
	if a.keys, err = keys.NewVerifier(conn, keys.Config{Logger: log}); err != nil {
		return nil, err
	}
	if cfg == nil {
		return a, nil
	}
	own := *cfg
	if own.Logger == nil {
		own.Logger = log
	}
	if a.tokens, err = tokens.New(own); err != nil {
		a.keys.Close()
		return nil, err
	}
	return a, nil
}

func (a *Authenticator) Close() {
	if a.tokens != nil {
		a.tokens.Close()
	}
	if a.keys != nil {
		a.keys.Close()
	}
}

const headerAPIKey = "X-Api-Key" //nolint:gosec // the name of a header

// maxCredential is longer than any key, and than tokens that fit where they go.
const maxCredential = 8 << 10

// authenticate returns the caller; nil: it is anonymous, and may be.
func (a *Authenticator) Authenticate(ctx context.Context, h *fasthttp.RequestHeader) (*wire.Principal, *exchange.Failure) {
	if a.mode == None {
		return nil, nil
	}
	text, found, f := credentialOf(h)
	switch {
	case f != nil:
		return nil, f
	case !found && a.mode == Required:
		return nil, noCredential()
	case !found:
		return nil, nil
	}
	var principal *wire.Principal
	var err error
	switch {
	case strings.HasPrefix(text, keys.Prefix):
		principal, err = a.keys.Verify(ctx, text)
	case a.tokens == nil:
		return nil, badCredential("it is no API key, and tokens are not accepted here")
	default:
		principal, err = a.tokens.Verify(ctx, text)
	}
	if err != nil {
		return nil, a.unverified(err)
	}
	return principal, nil
}

// anonymous refuses a request without a credential where one is required, by its
// headers alone.
func (a *Authenticator) Anonymous(h *fasthttp.RequestHeader) *exchange.Failure {
	if a.mode != Required {
		return nil
	}
	_, found, f := credentialOf(h)
	if f == nil && !found {
		f = noCredential()
	}
	return f
}

// unverified is the answer to a credential that was not verified.
func (a *Authenticator) unverified(err error) *exchange.Failure {
	if refused, ok := errors.AsType[*tokens.RefusedError](err); ok {
		return badCredential(refused.Reason)
	}
	if errors.Is(err, keys.ErrRefused) {
		return badCredential(keys.ErrRefused.Error())
	}
	a.log.Debug("a credential could not be verified", "error", err) // the reason was logged where it was noticed
	return exchange.Unavailable("the credential cannot be verified at present")
}

// credentialOf takes the credential out of a call's headers. More than one is
// ambiguous, as RFC 6750 has it (section 2), and what is in between may have looked
// at another than we would.
func credentialOf(h *fasthttp.RequestHeader) (text string, found bool, f *exchange.Failure) {
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

// header gives a header's value, and how often it is there.
func header(h *fasthttp.RequestHeader, name string) ([]byte, int) {
	values := h.PeekAll(name)
	if len(values) == 0 {
		return nil, 0
	}
	return values[0], len(values)
}

// challenge begins the header WWW-Authenticate
// (https://www.rfc-editor.org/rfc/rfc6750#section-3).
const challenge = `Bearer realm="mailroom"`

func noCredential() *exchange.Failure {
	f := exchange.Fail(wire.CodeUnauthenticated, "who calls? send Authorization: Bearer with an API key or a token, or X-API-Key")
	f.Challenge = challenge
	return f
}

// badCredential refuses a credential. The reason is of our own words: nothing of what
// was sent is told to anybody.
func badCredential(reason string) *exchange.Failure {
	f := exchange.Fail(wire.CodeUnauthenticated, "the credential is not accepted: "+reason)
	f.Challenge = challenge + `, error="invalid_token", error_description="` + reason + `"`
	return f
}

// authorize checks that a caller has the scopes of a route. While they are unknown,
// because a service was never seen, nobody may call it.
func (a *Authenticator) Authorize(principal *wire.Principal, scopes []string, unknown string) *exchange.Failure {
	switch {
	case a.mode == None:
		return nil
	case unknown != "":
		return exchange.Unavailable("the service " + unknown + " has not been seen yet")
	case len(scopes) == 0:
		return nil
	case principal == nil:
		return noCredential()
	}
	missing := principal.Lacks(scopes)
	if missing == "" {
		return nil
	}
	f := exchange.Fail(wire.CodeForbidden, "the scope "+missing+" is missing").With(map[string]string{"scope": missing})
	f.Challenge = challenge + `, error="insufficient_scope", scope="` + strings.Join(scopes, " ") + `"`
	return f
}

// warnOfScopes logs once that scopes which services declare are not checked.
func (a *Authenticator) WarnOfScopes(services registry.Snapshot) {
	if a.mode != None {
		return
	}
	for name, service := range services {
		if service.Manifest == nil {
			continue
		}
		for i := range service.Manifest.Actions {
			if action := &service.Manifest.Actions[i]; len(action.Scopes) > 0 {
				a.unscoped.Do(func() {
					a.log.Warn("scopes are not checked: auth is none", "service", name, "action", action.Name)
				})
				return
			}
		}
	}
}
