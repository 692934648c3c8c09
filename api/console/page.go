package console

import (
	"bytes"
	"context"
	"crypto/hmac"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/oskadev/mailroom/internal/rediserr"
)

// view is a page to render.
type view struct {
	// Template is the name of its file.
	Template string
	// Title is its heading.
	Title string
	// Data is what its template shows.
	Data any
	// Status is the HTTP status. Defaults to 200.
	Status int
	// To is the page that follows an action; the rest is empty then.
	To string
}

// page makes a page for an operator.
type page func(r *http.Request, s *session) (*view, error)

// problem is an error that the operator sees.
type problem struct {
	status  int
	message string
}

func (p *problem) Error() string { return p.message }

func notFound(message string) error { return &problem{http.StatusNotFound, message} }

// layout is what the template of every page gets.
type layout struct {
	*view

	Session *session
	Page    string // path and query, for the stream of changes
	Query   string // of the search field
	Notice  string // the result of the last action
	Now     time.Time
}

// parts of a template: the whole page, or what changes while it is open.
const (
	wholePage = "page"
	livePart  = "live"
)

type liveKey struct{}

// page returns the handler of a page.
func (c *Console) page(make page) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s, ok := c.admit(w, r)
		if !ok {
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), pageLimit)
		defer cancel()
		v, err := make(r.WithContext(ctx), s)
		c.render(w, r, s, v, err)
	}
}

// act returns the handler of an action. It needs the scope to act and the token of the
// session.
func (c *Console) act(do page) http.HandlerFunc {
	return c.page(func(r *http.Request, s *session) (*view, error) {
		switch {
		case !s.Write:
			return nil, &problem{http.StatusForbidden, "Your key lacks the scope " + ScopeWrite + "."}
		case !hmac.Equal([]byte(s.Token), []byte(r.PostFormValue("token"))):
			return nil, &problem{http.StatusForbidden, "This form is out of date: load the page again."}
		}
		return do(r, s)
	})
}

// admit returns the session of a request, or sends the operator to the login.
func (c *Console) admit(w http.ResponseWriter, r *http.Request) (*session, bool) {
	s, err := c.session(r)
	switch {
	case err == nil:
		return s, true
	case errors.Is(err, errNoSession) && r.Method == http.MethodGet && r.Context().Value(liveKey{}) == nil:
		http.Redirect(w, r, Path+"login", http.StatusSeeOther)
	case errors.Is(err, errNoSession):
		http.Error(w, "log in first", http.StatusUnauthorized)
	default:
		c.cfg.Log.WarnContext(r.Context(), "a session of the console cannot be checked", "error", err)
		http.Error(w, "Redis is not reachable", http.StatusServiceUnavailable)
	}
	return nil, false
}

// render writes a page, or why there is none.
func (c *Console) render(w http.ResponseWriter, r *http.Request, s *session, v *view, err error) {
	if err != nil {
		v = c.explain(r, err)
	}
	if v.To != "" {
		http.Redirect(w, r, v.To, http.StatusSeeOther)
		return
	}
	part := wholePage
	if r.Context().Value(liveKey{}) != nil {
		part = livePart
	}
	l := layout{view: v, Session: s, Page: r.URL.RequestURI(), Query: r.URL.Query().Get("id"), Notice: r.URL.Query().Get("notice"), Now: time.Now().UTC()}
	var text bytes.Buffer
	if err := c.templates[v.Template].ExecuteTemplate(&text, part, &l); err != nil {
		c.cfg.Log.ErrorContext(r.Context(), "a page of the console cannot be rendered", "page", v.Template, "error", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(max(v.Status, http.StatusOK))
	_, _ = w.Write(text.Bytes())
}

// explain returns the page for an error.
func (c *Console) explain(r *http.Request, err error) *view {
	if p, ok := errors.AsType[*problem](err); ok {
		return &view{Template: "error", Title: http.StatusText(p.status), Status: p.status, Data: p.message}
	}
	if errors.Is(err, context.Canceled) { // the browser has left
		return &view{Template: "error", Title: "Not available", Status: http.StatusServiceUnavailable}
	}
	c.cfg.Log.WarnContext(r.Context(), "a page of the console failed", "page", r.URL.Path, "error", err)
	message := "Redis did not answer. Its error is in the log of the gateway."
	if rediserr.IsRefused(err) {
		message = "Redis refuses this. Give the gateway the rights that “mailroom acl api --console” prints."
	}
	return &view{Template: "error", Title: "Not available", Status: http.StatusServiceUnavailable, Data: message}
}

func (c *Console) renderLogin(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	if err := c.templates["login"].ExecuteTemplate(w, wholePage, message); err != nil {
		c.cfg.Log.Error("the login of the console cannot be rendered", "error", err)
	}
}

const (
	liveInterval    = 2 * time.Second
	maxLiveInterval = 10 * time.Second // while nothing changes
	liveLimit       = 25 * time.Second // of a stream, below the time that a gateway has to write; the page opens a new one
)

// live streams the part of a page that changes, as server-sent events, until the session
// ends.
func (c *Console) live(w http.ResponseWriter, r *http.Request) {
	if _, ok := c.admit(w, r.WithContext(context.WithValue(r.Context(), liveKey{}, true))); !ok {
		return
	}
	target, err := url.Parse(r.URL.Query().Get("page"))
	if err != nil || !strings.HasPrefix(target.Path, Path) || target.Path == Path+"live" || target.Host != "" {
		http.Error(w, "no such page", http.StatusBadRequest)
		return
	}
	select {
	case c.streams <- struct{}{}:
		defer func() { <-c.streams }()
	default:
		http.Error(w, "too many pages are open", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	ctx, cancel := context.WithTimeout(context.WithValue(r.Context(), liveKey{}, true), liveLimit)
	defer cancel()
	inner := r.Clone(ctx)
	inner.URL, inner.RequestURI = target, target.RequestURI()
	control, interval, last := http.NewResponseController(w), liveInterval, ""
	for {
		part := &memory{header: make(http.Header)}
		c.mux.ServeHTTP(part, inner)
		if part.status != http.StatusOK {
			return // the page shows that it is out of date
		}
		event := ": still here\n\n"
		if now := part.text.String(); now != last {
			last, interval = now, liveInterval
			text, _ := json.Marshal(now) // a string can always be encoded
			event = "data: " + string(text) + "\n\n"
		}
		_ = control.SetWriteDeadline(time.Now().Add(liveLimit)) // a gateway has a deadline of its own
		if _, err := fmt.Fprint(w, event); err != nil || control.Flush() != nil {
			return
		}
		select {
		case <-time.After(interval):
			interval = min(2*interval, maxLiveInterval)
		case <-ctx.Done():
			return
		}
	}
}

// memory is a response in memory.
type memory struct {
	header http.Header
	status int
	text   bytes.Buffer
}

// Header returns the headers.
func (m *memory) Header() http.Header { return m.header }

// WriteHeader sets the status.
func (m *memory) WriteHeader(status int) { m.status = status }

// Write adds text.
func (m *memory) Write(text []byte) (int, error) { return m.text.Write(text) }

// parseTemplates returns the templates by the names of their files, each with the layout.
func parseTemplates() (map[string]*template.Template, error) {
	entries, err := files.ReadDir("templates")
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	parsed := make(map[string]*template.Template)
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), ".html")
		if name == "layout" {
			continue
		}
		names := []string{"templates/layout.html", "templates/" + e.Name()}
		if name == "login" {
			names = names[1:]
		}
		if parsed[name], err = template.New(name).Funcs(functions()).ParseFS(files, names...); err != nil {
			return nil, fmt.Errorf("console: %w", err)
		}
	}
	return parsed, nil
}
