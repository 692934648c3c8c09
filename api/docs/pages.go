package docs

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"log/slog"
	"strings"
	"sync"

	"github.com/gofiber/fiber/v2"

	"github.com/oskadev/mailroom/api/auth"
	"github.com/oskadev/mailroom/api/exchange"
	"github.com/oskadev/mailroom/api/openapi"
	"github.com/oskadev/mailroom/api/route"
	"github.com/oskadev/mailroom/bus/wire"
)

//go:embed assets
var assets embed.FS

// policy allows the page its own script, style and requests, and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

const (
	documentName = "openapi.json"
	pagePath     = "/docs"
)

// Config configures pages. All fields are required but Public.
type Config struct {
	// Table returns the table of routes that is in force.
	Table func() *route.Table
	// Known reports whether the services are known.
	Known func() bool
	Auth  auth.Mode
	// Public reports that callers need no credential. Defaults to false.
	Public bool
	Log    *slog.Logger
}

// Pages are the documents and the page. They are safe for concurrent use.
type Pages struct {
	cfg     Config
	control string          // the header Cache-Control
	files   map[string]file // by name

	mu        sync.Mutex
	table     *route.Table    // of documents
	documents map[string]file // by version
}

// file is an answer that does not change.
type file struct {
	body []byte
	kind string // Content-Type
	etag string
}

func newFile(body []byte, kind string) file {
	sum := sha256.Sum256(body)
	return file{body: body, kind: kind, etag: `"` + hex.EncodeToString(sum[:12]) + `"`}
}

// New returns pages.
func New(cfg Config) (*Pages, error) {
	p := &Pages{cfg: cfg, control: "no-cache", files: make(map[string]file)}
	if cfg.Auth == auth.Required && !cfg.Public {
		p.control = "private, no-cache"
	}
	for name, kind := range map[string]string{
		"index.html": "text/html; charset=utf-8", "app.js": "text/javascript; charset=utf-8", "style.css": "text/css; charset=utf-8",
		"icon.svg": "image/svg+xml",
	} {
		body, err := assets.ReadFile("assets/" + name)
		if err != nil {
			return nil, err
		}
		p.files[name] = newFile(body, kind)
	}
	return p, nil
}

// Has reports whether a path is one of the pages: /openapi.json, /v2/openapi.json, /docs and
// the paths below it.
func Has(path string) bool {
	if path == pagePath || strings.HasPrefix(path, pagePath+"/") {
		return true
	}
	_, found := documentVersion(path)
	return found
}

// documentVersion returns the version of the document at a path; empty: that of the services.
func documentVersion(path string) (version string, found bool) {
	before, found := strings.CutSuffix(strings.TrimSuffix(path, "/"), "/"+documentName)
	version = strings.TrimPrefix(before, "/")
	if !found || before != "" && (!strings.HasPrefix(before, "/v") || strings.Contains(version, "/")) {
		return "", false
	}
	return version, true
}

// Serve answers a request for one of the pages.
func (p *Pages) Serve(c *fiber.Ctx, in *exchange.Request) {
	if in.Method != fiber.MethodGet && in.Method != fiber.MethodHead {
		exchange.RefuseMethod(c, in, exchange.ReadMethods)
		return
	}
	found, f := p.find(in.Path)
	if f != nil {
		exchange.Refuse(c, in, f)
		return
	}
	res := c.Response()
	exchange.SetHeader(res, exchange.HeaderRequestID, in.RequestID)
	res.Header.Set(fiber.HeaderETag, found.etag)
	res.Header.Set(fiber.HeaderCacheControl, p.control)
	if strings.HasPrefix(found.kind, "text/html") { // also with 304: browsers replace the header that they have
		res.Header.Set(fiber.HeaderContentSecurityPolicy, policy)
	}
	if exchange.NamesETag(c.Get(fiber.HeaderIfNoneMatch), found.etag) {
		res.SetStatusCode(fiber.StatusNotModified)
		return
	}
	res.Header.SetContentType(found.kind)
	res.SetBodyRaw(found.body)
}

// find returns what is at a path.
func (p *Pages) find(path string) (file, *exchange.Failure) {
	if version, is := documentVersion(path); is {
		return p.document(version)
	}
	name := strings.Trim(strings.TrimPrefix(path, pagePath), "/")
	if found, known := p.files[name]; known && name != "index.html" {
		return found, nil
	}
	if name != "" {
		if _, found := p.cfg.Table().Routes(name); !found {
			return file{}, exchange.Fail(wire.CodeNotFound, "there is no such page")
		}
	}
	return p.files["index.html"], nil
}

// document returns the document of a version. It is built when it is read for the first time
// after a change of the routes.
func (p *Pages) document(version string) (file, *exchange.Failure) {
	if !p.cfg.Known() {
		return file{}, exchange.Unavailable("Redis is not reachable")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.cfg.Table(); t != p.table {
		p.table, p.documents = t, make(map[string]file)
	}
	if known, found := p.documents[version]; found {
		return known, nil
	}
	body, found, err := openapi.Build(p.table, openapi.Options{Version: version, Auth: p.cfg.Auth})
	switch {
	case err != nil:
		p.cfg.Log.Error("the OpenAPI document could not be built", "version", version, "error", err)
		return file{}, exchange.Fail(wire.CodeInternal, "the document could not be built")
	case !found:
		return file{}, exchange.Fail(wire.CodeNotFound, "there is no version "+cut(version))
	}
	p.documents[version] = newFile(body, "application/json")
	return p.documents[version], nil
}

// cut bounds a name from a request for an error.
func cut(name string) string { return name[:min(len(name), 64)] }
