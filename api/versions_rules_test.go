package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/api"
	"github.com/oskadev/mailroom/testsupport"
)

// Limits of a route apply under a version too, and to the routes of the version itself.
func TestRulesHoldUnderVersions(t *testing.T) {
	t.Parallel()
	var rules []api.LimitRule
	for _, text := range []string{"1/h per address on GET /v1/things/:id/plain", "1/h per address on GET /notes/ready"} {
		rule, err := api.ParseLimit(text)
		require.NoError(t, err)
		rules = append(rules, rule)
	}
	s := startGateway(t, testsupport.Miniredis(t), "", func(c *api.Config) {
		c.Versions, c.Limits, c.LimitTimeout = []byte(steps), rules, patience
		c.Sizes = []api.SizeRule{{Route: "POST /parts/:id", Request: 20}, {Route: "POST /v1/things/:id", Request: 30}}
	})
	var p parts
	s.work(p.service(), notes())
	testsupport.Eventually(t, patience, "it is served", func() bool { return s.server.Serves("parts", "notes") })
	long := `{"currency":"` + strings.Repeat("x", 30) + `"}`
	for _, path := range []string{"/parts/1", "/v1/parts/1", "/v1/things/1"} {
		assert.Equal(t, http.StatusRequestEntityTooLarge, s.do(http.MethodPost, path, long).status, path)
	}
	assert.Equal(t, http.StatusCreated, s.do(http.MethodPost, "/v1/things/1", `{"a":"1234567890123"}`).status)
	for _, c := range []struct {
		path   string
		status int
	}{{"/v1/things/1/plain", 200}, {"/v1/things/1/plain", 429}, {"/notes/ready", 200}, {"/v1/notes/ready", 429}} {
		assert.Equal(t, c.status, s.do(http.MethodGet, c.path, "").status, c.path)
	}
}

// A caller needs the scopes of all steps, unless the route declares its own. The steps see
// the principal.
func TestCompositionsRequireScopes(t *testing.T) {
	t.Parallel()
	const text = `versions:
  v1:
    routes:
      GET /reading:
        steps: [{call: guarded OPEN}, {call: guarded READ}]
        result: '{"who": read.subject, "same": read.subject == principal.subject}'
      POST /touching:
        steps: [{call: guarded READ}, {call: guarded TOUCH}]
      POST /open:
        scopes: []
        steps: [{name: written, call: guarded WRITE, args: ['{"name": "x", "size": 1}']}]
`
	s := newGuarded(t, api.AuthRequired, func(c *api.Config) { c.Versions = []byte(text) })
	unscoped, _ := s.key("acme")
	reader, key := s.key("acme", "things:read")
	s.unauthenticated(http.MethodGet, "/v1/reading", "")
	s.unauthenticated(http.MethodGet, "/v9/reading", "")
	for _, route := range [][2]string{{http.MethodGet, "/v1/reading"}, {http.MethodPost, "/v1/touching"}, {http.MethodGet, "/v1/guarded/read"}} {
		got := s.do(route[0], route[1], "", unscoped)
		assert.Equal(t, http.StatusForbidden, got.status, route)
	}
	assert.Zero(t, s.runs.Load())
	s.got(`{"same":true,"who":"key:`+key.ID+`"}`, http.MethodGet, "/v1/reading", "", reader)
	for _, path := range []string{"/v1/touching", "/v1/open"} {
		got := s.do(http.MethodPost, path, "", reader)
		assert.Equal(t, http.StatusOK, got.status, got.body)
		assert.Contains(t, got.body, "key:"+key.ID)
	}
	// Another caller cannot read the ticket of a composition.
	got := s.do(http.MethodPost, "/v1/touching", "", reader, "Prefer: respond-async")
	at := got.header.Get("Location")
	assert.Equal(t, http.StatusOK, s.do(http.MethodGet, at+"?wait=10", "", reader).status)
	assert.Equal(t, http.StatusNotFound, s.do(http.MethodGet, at, "", unscoped).status)
}
