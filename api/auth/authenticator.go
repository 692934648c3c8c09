package auth

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"

	"github.com/valyala/fasthttp"

	"github.com/oskadev/mailroom/api/auth/keys"
	"github.com/oskadev/mailroom/api/auth/tokens"
	"github.com/oskadev/mailroom/api/exchange"
	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/registry"
	"github.com/oskadev/mailroom/bus/wire"
)

// Authenticator authenticates callers and checks their scopes. It is safe for concurrent
// use. Close it.
type Authenticator struct {
	mode     Mode
	keys     *keys.Verifier   // nil: credentials are ignored
	tokens   *tokens.Verifier // nil: tokens are not accepted
	log      *slog.Logger
	unscoped sync.Once // the warning that scopes are not checked
}

// New returns an authenticator. Without a config of tokens it accepts API keys alone; in
// the mode None it opens nothing.
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

// Close closes the verifiers of credentials.
func (a *Authenticator) Close() {
	if a.tokens != nil {
		a.tokens.Close()
	}
	if a.keys != nil {
		a.keys.Close()
	}
}

// Authenticate returns the principal of a request; nil: the caller is anonymous, which
// the mode allows.
func (a *Authenticator) Authenticate(ctx context.Context, h *fasthttp.RequestHeader) (*wire.Principal, *exchange.Failure) {
	if a.mode == None {
		return nil, nil
	}
	text, found, f := CredentialOf(h)
	switch {
	case f != nil:
		return nil, f
	case !found && a.mode == Required:
		return nil, noCredential()
	case !found:
		return nil, nil
	}
	return a.Verify(ctx, text)
}

// Anonymous refuses a caller without a credential where one is required.
func (a *Authenticator) Anonymous() *exchange.Failure {
	if a.mode == Required {
		return noCredential()
	}
	return nil
}

// Verify returns the principal of a credential; nil: the mode None ignores it.
func (a *Authenticator) Verify(ctx context.Context, text string) (*wire.Principal, *exchange.Failure) {
	if a.mode == None {
		return nil, nil
	}
	if len(text) > maxCredential {
		return nil, badCredential("it is too long")
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

// RefuseAnonymous refuses a request without a credential where one is required. It does
// not verify the credential.
func (a *Authenticator) RefuseAnonymous(h *fasthttp.RequestHeader) *exchange.Failure {
	if a.mode != Required {
		return nil
	}
	_, found, f := CredentialOf(h)
	if f == nil && !found {
		f = noCredential()
	}
	return f
}

// unverified returns the failure for a credential that was not verified.
func (a *Authenticator) unverified(err error) *exchange.Failure {
	if refused, ok := errors.AsType[*tokens.RefusedError](err); ok {
		return badCredential(refused.Reason)
	}
	if errors.Is(err, keys.ErrRefused) {
		return badCredential(keys.ErrRefused.Error())
	}
	a.log.Debug("a credential could not be verified", "error", err) // the verifier has logged the reason
	return exchange.Unavailable("the credential cannot be verified at present")
}

// Authorize checks that a principal has the scopes of a route. It refuses everybody while
// they are unknown: unknown is then the service that has not been seen yet.
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

// WarnUncheckedScopes logs once that the scopes of the services are not checked, in the
// mode None.
func (a *Authenticator) WarnUncheckedScopes(services registry.Snapshot) {
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
