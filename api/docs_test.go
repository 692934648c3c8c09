package api_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/api"
	"github.com/oskadev/mailroom/workers"
)

// load reads a path that is not an envelope.
func (s *stage) load(method, path string, headers ...string) *answer {
	s.t.Helper()
	response, err := s.client.Do(s.request(method, path, "", headers...))
	require.NoError(s.t, err)
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	require.NoError(s.t, err)
	return &answer{status: response.StatusCode, header: response.Header, body: string(body)}
}

// document reads a document.
func (s *stage) document(path string, headers ...string) (a *answer, paths map[string]any) {
	s.t.Helper()
	a = s.load(http.MethodGet, path, headers...)
	require.Equal(s.t, http.StatusOK, a.status, a.body)
	var doc struct{ Paths map[string]any }
	require.NoError(s.t, json.Unmarshal([]byte(a.body), &doc))
	return a, doc.Paths
}

func TestDocumentFollowsTheServices(t *testing.T) {
	t.Parallel()
	s := newStage(t, func(c *api.Config) {
		c.Versions = []byte(`versions: {v2: {routes: {"GET /own/:id": {path: {id: {type: integer}}, steps: [{name: thing, call: things GET_THING, args: [path.id]}]}}}}`)
	})
	response, paths := s.document("/openapi.json")
	assert.Equal(t, "application/json", response.header.Get("Content-Type"))
	assert.Equal(t, "no-cache", response.header.Get("Cache-Control"))
	assert.NotEmpty(t, response.header.Get("X-Request-Id"))
	assert.Contains(t, paths, "/things/{id}")
	assert.NotContains(t, paths, "/late")
	etag := response.header.Get("Etag")
	require.NotEmpty(t, etag)

	same := s.load(http.MethodGet, "/openapi.json", `If-None-Match: "other", W/`+etag)
	assert.Equal(t, http.StatusNotModified, same.status)
	assert.Empty(t, same.body)
	head := s.load(http.MethodHead, "/openapi.json/")
	assert.Equal(t, http.StatusOK, head.status)
	assert.Equal(t, etag, head.header.Get("Etag"))
	assert.Empty(t, head.body)

	_, paths = s.document("/v2/openapi.json")
	assert.Contains(t, paths, "/v2/own/{id}")
	assert.Contains(t, paths, "/v2/things/{id}")
	s.refused(http.StatusNotFound, "NOT_FOUND", http.MethodGet, "/v9/openapi.json", "")

	late := workers.NewService("late")
	workers.Handle0(late, "GET", func(context.Context) (int, error) { return 1, nil }, workers.Route("GET /late"))
	s.work(late)
	s.awaitRoute("/late")
	response, paths = s.document("/openapi.json", "If-None-Match: "+etag)
	assert.Contains(t, paths, "/late")
	assert.NotEqual(t, etag, response.header.Get("Etag"))
}

func TestDocsPage(t *testing.T) {
	t.Parallel()
	s := newStage(t, func(c *api.Config) { c.Versions = []byte(`versions: {v2: }`) })
	for path, kind := range map[string]string{
		"/docs": "text/html; charset=utf-8", "/docs/": "text/html; charset=utf-8", "/docs/v2": "text/html; charset=utf-8",
		"/docs/app.js": "text/javascript; charset=utf-8", "/docs/style.css": "text/css; charset=utf-8", "/docs/icon.svg": "image/svg+xml",
	} {
		response := s.load(http.MethodGet, path)
		assert.Equal(t, http.StatusOK, response.status, path)
		assert.Equal(t, kind, response.header.Get("Content-Type"), path)
		assert.Less(t, len(response.body), 60_000, path)
		assert.NotContains(t, response.body, "innerHTML", path)
		policy := response.header.Get("Content-Security-Policy")
		same := s.load(http.MethodGet, path, "If-None-Match: "+response.header.Get("Etag"))
		assert.Equal(t, http.StatusNotModified, same.status, path)
		assert.Equal(t, policy, same.header.Get("Content-Security-Policy"), "a browser replaces the policy that it has: %s", path)
		assert.Equal(t, strings.HasPrefix(kind, "text/html"), strings.Contains(policy, "script-src 'self'"), path)
		assert.NotContains(t, policy, "unsafe")
	}
	for _, path := range []string{"/docs/v9", "/docs/index.html/x", "/docs/../docs/pages.go", "/docs/assets/app.js"} {
		s.refused(http.StatusNotFound, "NOT_FOUND", http.MethodGet, path, "")
	}
	for _, path := range []string{"/docs", "/openapi.json", "/v2/openapi.json", "/docs/app.js"} {
		a := s.refused(http.StatusMethodNotAllowed, "METHOD_NOT_ALLOWED", http.MethodPost, path, "{}")
		assert.Equal(t, "GET, HEAD, OPTIONS", a.header.Get("Allow"))
		assert.Equal(t, http.StatusNoContent, s.do(http.MethodOptions, path, "").status)
	}
}

func TestDocsNeedACredential(t *testing.T) {
	t.Parallel()
	s := newGuarded(t, api.AuthRequired)
	header, _ := s.key("")
	for _, path := range []string{"/docs", "/openapi.json", "/docs/app.js", "/v1/openapi.json"} {
		s.refused(http.StatusUnauthorized, "UNAUTHENTICATED", http.MethodGet, path, "")
	}
	response, paths := s.document("/openapi.json", header)
	assert.Equal(t, "private, no-cache", response.header.Get("Cache-Control"))
	read, err := json.Marshal(paths["/guarded/read"])
	require.NoError(t, err)
	assert.Contains(t, string(read), `"security":[{"apiKey":["things:read"]},{"bearer":["things:read"]}]`)
}

func TestPublicDocs(t *testing.T) {
	t.Parallel()
	s := newGuarded(t, api.AuthRequired, func(c *api.Config) { c.PublicDocs = true })
	response, _ := s.document("/openapi.json")
	assert.Equal(t, "no-cache", response.header.Get("Cache-Control"))
	home := s.load(http.MethodGet, "/docs")
	assert.Equal(t, http.StatusOK, home.status)
	s.refused(http.StatusUnauthorized, "UNAUTHENTICATED", http.MethodGet, "/guarded/open", "")
}
