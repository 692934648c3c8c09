package console

import (
	"context"
	"embed"
	"html/template"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/oskadev/mailroom/api/auth/keys"
	"github.com/oskadev/mailroom/api/metrics"
	"github.com/oskadev/mailroom/api/recent"
	"github.com/oskadev/mailroom/api/stats"
	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/registry"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/versions"
)

// Gateway is what the console knows of its gateway.
type Gateway interface {
	// Services returns the known services.
	Services() registry.Snapshot
	// State returns mailboxes, sockets and the state of Redis, at most a second old.
	State() metrics.State
	// Versions returns the versions in force; nil: none.
	Versions() *versions.File
	// Secret returns the secret that all gateways share; nil: not known yet.
	Secret() []byte
}

// Calls are what an operator does to requests.
type Calls interface {
	// Invoke calls an action; args is a JSON array. It returns the envelope, and the ID of
	// the request, empty if none was sent.
	Invoke(ctx context.Context, p *wire.Principal, service, action, args string) (envelope, id string)
	// Cancel cancels a request.
	Cancel(ctx context.Context, service, id string) error
}

// Config configures a Console. All fields but Open, Secure and Masks are required.
type Config struct {
	Conn    *bus.Conn
	Gateway Gateway
	Calls   Calls
	Stats   *stats.Publisher
	Recent  *recent.Ring
	Log     *slog.Logger
	// Open admits requests from this machine without a login. It is for development. Defaults to
	// false.
	Open bool
	// Secure marks the cookie as one for HTTPS alone. Defaults to false.
	Secure bool
	// Masks hide members of arguments and outcomes. Defaults to none.
	Masks []Mask
}

// Console serves the pages. It is safe for concurrent use.
type Console struct {
	cfg       Config
	keys      *keys.Store
	verify    *keys.Verifier
	templates map[string]*template.Template
	mux       *http.ServeMux
	guard     *http.CrossOriginProtection
	streams   chan struct{} // one for each open stream of events
	scanning  sync.Mutex    // held while dead letters are read
}

//go:embed assets templates
var files embed.FS

// Path is the path of the console.
const Path = "/console/"

const maxStreams = 64

// New returns a console. Close it.
func New(cfg Config) (*Console, error) {
	c := &Console{cfg: cfg, keys: keys.NewStore(cfg.Conn), mux: http.NewServeMux(), guard: http.NewCrossOriginProtection(), streams: make(chan struct{}, maxStreams)}
	var err error
	if c.templates, err = parseTemplates(); err != nil {
		return nil, err
	}
	if c.verify, err = keys.NewVerifier(cfg.Conn, keys.Config{Logger: cfg.Log}); err != nil {
		return nil, err
	}
	c.route()
	return c, nil
}

// Close closes the connections of the console.
func (c *Console) Close() { c.verify.Close() }

func (c *Console) route() {
	c.mux.HandleFunc("GET /console", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, Path, http.StatusSeeOther) })
	c.mux.HandleFunc("GET /console/assets/{file}", c.asset)
	c.mux.HandleFunc("GET /console/login", c.loginPage)
	c.mux.HandleFunc("POST /console/login", c.login)
	c.mux.HandleFunc("POST /console/logout", c.logout)
	c.mux.HandleFunc("GET /console/live", c.live)
	for pattern, page := range map[string]page{
		"GET /console/{$}":                    c.overview,
		"GET /console/services/{service}":     c.service,
		"GET /console/recent":                 c.recent,
		"GET /console/requests":               c.request,
		"GET /console/dead":                   c.deadServices,
		"GET /console/dead/{service}":         c.dead,
		"GET /console/dead/{service}/{entry}": c.letter,
		"GET /console/versions":               c.versions,
		"GET /console/keys":                   c.keyList,
		"GET /console/gateways":               c.gateways,
		"GET /console/audit":                  c.audit,
	} {
		c.mux.HandleFunc(pattern, c.page(page))
	}
	for pattern, act := range map[string]page{
		"POST /console/services/{service}/pause":  c.pause,
		"POST /console/services/{service}/resume": c.resume,
		"POST /console/services/{service}/invoke": c.invoke,
		"POST /console/requests/cancel":           c.cancel,
		"POST /console/requests/resend":           c.resend,
		"POST /console/dead/{service}":            c.handleDead,
		"POST /console/keys/revoke":               c.revoke,
	} {
		c.mux.HandleFunc(pattern, c.act(act))
	}
}

// pageLimit bounds the time for a page.
const pageLimit = 10 * time.Second

// ServeHTTP serves a page.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	if err := c.guard.Check(r); err != nil || c.cfg.Open && (!IsLoopback(r.Host) || !IsLoopback(r.RemoteAddr)) {
		http.Error(w, "this request comes from another site", http.StatusForbidden)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
	c.mux.ServeHTTP(w, r)
}

// asset serves the style and the script.
func (c *Console) asset(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "max-age=300")
	switch r.PathValue("file") {
	case "console.css":
		http.ServeFileFS(w, r, files, "assets/console.css")
	case "console.js":
		http.ServeFileFS(w, r, files, "assets/console.js")
	default:
		http.NotFound(w, r)
	}
}
