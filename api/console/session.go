package console

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/oskadev/mailroom/api/auth/keys"
	"github.com/oskadev/mailroom/bus/wire"
)

// Scopes of the keys that open the console: to look, and to act too.
const (
	ScopeRead  = "console:read"
	ScopeWrite = "console:write"
)

const (
	cookieName  = "mailroom_console"
	sessionLife = 12 * time.Hour
)

// session is a login.
type session struct {
	Principal *wire.Principal // nil: the console is open
	Name      string          // of the key
	Token     string          // against forged requests; in each form
	Write     bool            // may act
}

// who returns the operator for the audit.
func (s *session) who() string {
	if s.Principal == nil {
		return "console"
	}
	return s.Principal.Subject
}

// errNoSession reports that the operator has to log in.
var errNoSession = errors.New("log in first")

// session returns the session of a request. It ends with its key.
func (c *Console) session(r *http.Request) (*session, error) {
	if c.cfg.Open {
		return &session{Name: "open", Write: true}, nil
	}
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		return nil, errNoSession
	}
	text, signature, _ := strings.Cut(cookie.Value, "~")
	parts := strings.Split(text, ".")
	secret := c.cfg.Gateway.Secret()
	if secret == nil || len(parts) != 3 || !hmac.Equal([]byte(signature), []byte(c.sign(secret, "session", text))) {
		return nil, errNoSession
	}
	ends, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil || time.Now().Unix() >= ends {
		return nil, errNoSession
	}
	key, err := c.keys.Get(r.Context(), parts[0])
	switch {
	case errors.Is(err, keys.ErrUnknown):
		return nil, errNoSession
	case err != nil:
		return nil, err
	}
	p := key.Principal()
	if !p.Has(ScopeRead) && !p.Has(ScopeWrite) {
		return nil, errNoSession
	}
	return &session{Principal: p, Name: key.Name, Token: c.sign(secret, "form", text), Write: p.Has(ScopeWrite)}, nil
}

// sign returns a signature of a text for one purpose.
func (c *Console) sign(secret []byte, purpose, text string) string {
	mac := hmac.New(sha256.New, secret)
	_, _ = mac.Write([]byte("console " + purpose + " " + text))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// login opens a session for the holder of an API key.
func (c *Console) login(w http.ResponseWriter, r *http.Request) {
	secret := c.cfg.Gateway.Secret()
	if secret == nil {
		c.renderLogin(w, http.StatusServiceUnavailable, "Redis is not reachable.")
		return
	}
	p, err := c.verify.Verify(r.Context(), strings.TrimSpace(r.PostFormValue("key")))
	switch {
	case errors.Is(err, keys.ErrRefused):
		c.renderLogin(w, http.StatusUnauthorized, "This key is unknown, revoked or expired.")
		return
	case err != nil:
		c.cfg.Log.WarnContext(r.Context(), "a key of the console cannot be verified", "error", err)
		c.renderLogin(w, http.StatusServiceUnavailable, "Redis is not reachable.")
		return
	case !p.Has(ScopeRead) && !p.Has(ScopeWrite):
		c.renderLogin(w, http.StatusForbidden, "This key lacks the scope "+ScopeRead+".")
		return
	}
	text := strings.TrimPrefix(p.Subject, "key:") + "." + strconv.FormatInt(time.Now().Add(sessionLife).Unix(), 10) + "." + rand.Text()
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure with HTTPS alone
		Name: cookieName, Value: text + "~" + c.sign(secret, "session", text), Path: "/console", MaxAge: int(sessionLife.Seconds()),
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: c.cfg.Secure,
	})
	http.Redirect(w, r, Path, http.StatusSeeOther)
}

// logout removes the cookie of a session.
func (c *Console) logout(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, &http.Cookie{Name: cookieName, Path: "/console", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: c.cfg.Secure}) //nolint:gosec // Secure with HTTPS alone
	http.Redirect(w, r, Path+"login", http.StatusSeeOther)
}

func (c *Console) loginPage(w http.ResponseWriter, _ *http.Request) {
	c.renderLogin(w, http.StatusOK, "")
}

// IsLoopback reports whether the host of a request is this machine by name or address. Pages
// of other sites whose name points here are refused.
func IsLoopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	address, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || err == nil && address.IsLoopback()
}
