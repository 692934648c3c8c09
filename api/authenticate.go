package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/oskadev/mailroom/api/keys"
	"github.com/oskadev/mailroom/api/tokens"
	"github.com/oskadev/mailroom/bus/registry"
	"github.com/oskadev/mailroom/bus/wire"
)

// Auth says whether callers have to say who they are.
type Auth string

// The ways to let callers in.
const (
	AuthNone     Auth = "none"     // credentials are not looked at, and scopes are not checked
	AuthOptional Auth = "optional" // who has none is nobody, and may do what wants no scope
	AuthRequired Auth = "required" // who has none is let in nowhere
)

// UnmarshalText reads a setting.
func (a *Auth) UnmarshalText(text []byte) error {
	switch read := Auth(text); read {
	case AuthNone, AuthOptional, AuthRequired:
		*a = read
		return nil
	default:
		return read.unknown()
	}
}

func (a Auth) unknown() error {
	return fmt.Errorf("auth %.20q: want %s, %s or %s", string(a), AuthNone, AuthOptional, AuthRequired)
}

// verifier says whose a credential is. Its errors are those of api/keys and
// api/tokens: it counts for nobody, or that cannot be told now.
type verifier interface {
	Verify(ctx context.Context, credential string) (*wire.Principal, error)
}

// openVerifiers prepares what knows whose a credential is.
func (s *Server) openVerifiers() (closeVerifiers func(), err error) {
	if s.cfg.Auth == AuthNone {
		return func() {}, nil
	}
	ofKeys, err := keys.NewVerifier(s.conn, keys.Config{Logger: s.log})
	if err != nil {
		return nil, err
	}
	s.keys = ofKeys
	if s.cfg.Tokens == nil {
		return ofKeys.Close, nil
	}
	cfg := *s.cfg.Tokens
	if cfg.Logger == nil {
		cfg.Logger = s.log
	}
	ofTokens, err := tokens.New(cfg)
	if err != nil {
		ofKeys.Close()
		return nil, err
	}
	s.tokens = ofTokens
	return func() {
		ofTokens.Close()
		ofKeys.Close()
	}, nil
}

const headerAPIKey = "X-Api-Key" //nolint:gosec // the name of a header

// maxCredential is longer than any key, and than tokens that fit where they go.
const maxCredential = 8 << 10

// authenticate finds out who calls.
func (s *Server) authenticate(c *fiber.Ctx, in *call) *failure {
	if s.cfg.Auth == AuthNone {
		return nil
	}
	text, found, f := credentialOf(&c.Request().Header)
	if f != nil {
		return f
	}
	if !found {
		if s.cfg.Auth == AuthRequired {
			return noCredential()
		}
		return nil
	}
	who := s.tokens
	if strings.HasPrefix(text, keys.Prefix) {
		who = s.keys
	}
	if who == nil {
		return badCredential("it is no API key, and tokens are not accepted here")
	}
	principal, err := who.Verify(s.calls, text)
	if err != nil {
		return s.unverified(in, err)
	}
	in.principal = principal
	return nil
}

// unverified is the answer to a credential that a verifier did not vouch for.
func (s *Server) unverified(in *call, err error) *failure {
	if refused, ok := errors.AsType[*tokens.RefusedError](err); ok {
		return badCredential(refused.Reason)
	}
	if errors.Is(err, keys.ErrRefused) {
		return badCredential(keys.ErrRefused.Error())
	}
	// Why has been logged where it was noticed.
	s.log.Debug("a credential could not be verified", "request", in.id, "error", err)
	return unavailable("the credential cannot be verified at present")
}

// credentialOf takes the credential out of a call's headers. More than one is
// ambiguous, as RFC 6750 has it (section 2), and what is in between may have looked
// at another than we would.
func credentialOf(h *fasthttp.RequestHeader) (text string, found bool, f *failure) {
	authorization, n := header(h, fiber.HeaderAuthorization)
	key, m := header(h, headerAPIKey)
	switch {
	case n+m == 0:
		return "", false, nil
	case n+m > 1:
		f = fail(wire.CodeBadRequest, "more than one credential: send one header Authorization, or one X-API-Key")
		f.challenge = challenge + `, error="invalid_request"`
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

func noCredential() *failure {
	f := fail(wire.CodeUnauthenticated, "who calls? send Authorization: Bearer with an API key or a token, or X-API-Key")
	f.challenge = challenge
	return f
}

// badCredential refuses a credential. The reason is of our own words: nothing of what
// was sent is told to anybody.
func badCredential(reason string) *failure {
	f := fail(wire.CodeUnauthenticated, "the credential is not accepted: "+reason)
	f.challenge = challenge + `, error="invalid_token", error_description="` + reason + `"`
	return f
}

// authorize checks that a caller may do what a route does.
func (s *Server) authorize(in *call, r *route) *failure {
	scopes := r.action.Scopes
	if s.cfg.Auth == AuthNone {
		return nil
	}
	if r.unknown != "" { // nobody can say yet who may
		return unavailable("the service " + r.unknown + " has not been seen yet")
	}
	if len(scopes) == 0 {
		return nil
	}
	if in.principal == nil {
		return noCredential()
	}
	missing := in.principal.Lacks(scopes)
	if missing == "" {
		return nil
	}
	f := fail(wire.CodeForbidden, "the scope "+missing+" is missing")
	f.Details = map[string]string{"scope": missing}
	f.challenge = challenge + `, error="insufficient_scope", scope="` + strings.Join(scopes, " ") + `"`
	return f
}

// warnOfScopes says once that what services want of callers is not checked.
func (s *Server) warnOfScopes(services registry.Snapshot) {
	if s.cfg.Auth != AuthNone {
		return
	}
	for name, service := range services {
		if service.Manifest == nil {
			continue
		}
		for i := range service.Manifest.Actions {
			if action := &service.Manifest.Actions[i]; len(action.Scopes) > 0 {
				s.unscoped.Do(func() {
					s.log.Warn("scopes are not checked: auth is none", "service", name, "action", action.Name)
				})
				return
			}
		}
	}
}
