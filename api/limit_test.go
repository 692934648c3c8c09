package api_test

import (
	"net/http"
	"net/netip"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/api"
	"github.com/oskadev/mailroom/testsupport"
)

func limitTo(rules ...string) func(*api.Config) {
	return func(c *api.Config) {
		c.LimitTimeout = patience
		for _, text := range rules {
			rule, err := api.ParseLimit(text)
			if err != nil {
				panic(err) //nolint:forbidigo // the test is wrong
			}
			c.Limits = append(c.Limits, rule)
		}
	}
}

func TestLimitsCountOverGateways(t *testing.T) {
	t.Parallel()
	limit := limitTo("3/h per address on GET /things/:id")
	s := newStage(t, limit)
	other := startGateway(t, s.url, "", limit)
	other.awaitRoute("/things/count")
	for left := range 3 {
		a := []*stage{s, other}[left%2].got(`{"id":5}`, http.MethodGet, "/things/5", "")
		assert.Equal(t, `"address";q=3;w=3600`, a.header.Get("RateLimit-Policy"))
		assert.Regexp(t, `^"address";r=`+strconv.Itoa(2-left)+`;t=\d+$`, a.header.Get("RateLimit"))
	}
	s.runs.Store(0)
	for _, gateway := range []*stage{s, other} {
		a := gateway.refused(http.StatusTooManyRequests, "RATE_LIMITED", http.MethodGet, "/things/6", "")
		after, err := strconv.Atoi(a.header.Get("Retry-After"))
		require.NoError(t, err)
		assert.InDelta(t, 1200, after, 60)
		assert.Regexp(t, `^"address";r=0;t=\d+$`, a.header.Get("RateLimit"))
		assert.Contains(t, a.Error.Message, "3/h per address")
	}
	s.untouched()
	a := s.got(`3`, http.MethodGet, "/things/count", "")
	assert.Empty(t, a.header.Get("RateLimit"), "another route")
	assert.Equal(t, http.StatusOK, s.do(http.MethodGet, "/readyz", "").status)
}

func TestLimitsOfRoutesAndTheTightest(t *testing.T) {
	t.Parallel()
	s := newStage(t, limitTo("1000/h per route", "2/h per route on DELETE /things/:id burst 1"))
	a := s.got(`3`, http.MethodGet, "/things/count", "")
	assert.Regexp(t, `^"route";r=\d+;t=`, a.header.Get("RateLimit"))
	a = s.got(`{"id":4}`, http.MethodDelete, "/things/4", "")
	assert.Equal(t, `"route";q=1;w=1800`, a.header.Get("RateLimit-Policy"), "the rule with the least left")
	s.refused(429, "RATE_LIMITED", http.MethodDelete, "/things/4", "")
	s.got(`3`, http.MethodGet, "/things/count", "")
}

func TestRulesThatMatchNothingAreLogged(t *testing.T) {
	t.Parallel()
	s := newStage(t, limitTo("1/h per key on GET /things/:name", "1/h per key on GET /things/:id", "1/h per key on GET /others/:id"), func(c *api.Config) {
		c.Sizes = []api.SizeRule{{Route: "POST /thing", Request: 1}, {Route: "PUT /things", Request: 1}}
	})
	s.logs.Wait(t, `a limit is for a route that neither a service nor a version declares" route="GET /things/:name"`)
	s.logs.Wait(t, `a limit is for a route that neither a service nor a version declares" route="PUT /things"`)
	assert.False(t, s.logs.Contains(`route="GET /things/:id"`))
	assert.False(t, s.logs.Contains(`others`), "its service is not known yet")
}

// A Redis that does not count fails no request; each gateway counts for itself.
func TestLimitsWithoutRedis(t *testing.T) {
	t.Parallel()
	s := newStage(t, limitTo("2/h per address on GET /things/:id"))
	// The script of redis_rate fails, because the key has another type.
	require.NoError(t, s.conn.Redis().LPush(s.ctx, "rate:mailroom:limit:2/h per address on GET /things/:id:127.0.0.1", "x").Err())
	s.got(`{"id":5}`, http.MethodGet, "/things/5", "")
	s.got(`{"id":5}`, http.MethodGet, "/things/5", "")
	s.refused(429, "RATE_LIMITED", http.MethodGet, "/things/5", "")
	s.logs.Wait(t, "each gateway counts for itself")
}

func TestLimitRules(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"100/s per principal", "5/m per address on POST /users", "5/m per tenant on POST /users burst 2", "1/h per key burst 9", "3/10s per route",
	} {
		rule, err := api.ParseLimit(text)
		require.NoError(t, err, text)
		assert.Equal(t, text, rule.String(), "it reads what it writes")
	}
	rule, err := api.ParseLimit("60/1m per address on GET /users/")
	require.NoError(t, err)
	assert.Equal(t, "60/m per address on GET /users", rule.String())
	for text, says := range map[string]string{
		"":                                "want",
		"100/s":                           "want",
		"100/s for principal":             "want",
		"fast per principal":              "rate",
		"5/s per person":                  "person",
		"5/s per key burst":               "burst",
		"5/s per key burst 0":             "burst",
		"5/s per key burst 1000001":       "burst",
		"5/s per key on post /users":      "method",
		"5/s per key on HEAD /users":      "method",
		"5/s per key on GET /":            "path",
		"5/s per key on /users":           "on /users",
		"5/s per key on GET users":        "path",
		"5/s per key on GET /a on GET /b": "on GET /b",
		"5/s per key and some more":       "and some more",
	} {
		_, err := api.ParseLimit(text)
		assert.ErrorContains(t, err, says, text)
	}
}

func TestAddressesBehindProxies(t *testing.T) {
	t.Parallel()
	s := newStage(t, limitTo("1/h per address on GET /things/:id"), func(c *api.Config) {
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}
	})
	from := func(status int, forwarded ...string) {
		t.Helper()
		r := s.request(http.MethodGet, "/things/5", "")
		r.Header["X-Forwarded-For"] = forwarded
		a, err := s.send(r)
		require.NoError(t, err)
		assert.Equal(t, status, a.status, forwarded)
	}
	from(200, "203.0.113.7")
	from(429, "203.0.113.7")
	from(429, "198.51.100.1, 203.0.113.7", "10.0.0.9") // the first address is forged and ignored
	from(200, "203.0.113.8, 10.1.1.1, 10.0.0.9")
	from(429, "203.0.113.8")
	from(200, "2001:db8:1:2::1")
	from(429, "2001:db8:1:2:ffff::9") // one client has all addresses of a /64 network
	from(200, "2001:db8:1:3::1")
	from(200, "unknown, 10.0.0.9") // not an address: that of the proxy counts
	from(429, "unknown, 10.0.0.9")
	from(200, "203.0.113.9:4711")
	from(429, "203.0.113.9:4712") // some proxies add the port
	from(200, "[2001:db8:9:9::1]:80")
	from(200) // no header: the address of the connection
	from(429, "")

	alone := newStage(t, limitTo("1/h per address on GET /things/:id"))
	alone.got(`{"id":5}`, http.MethodGet, "/things/5", "", "X-Forwarded-For: 203.0.113.7")
	alone.refused(429, "RATE_LIMITED", http.MethodGet, "/things/5", "", "X-Forwarded-For: 203.0.113.8")
}

func TestLimitsOfPrincipals(t *testing.T) {
	t.Parallel()
	s := newGuarded(t, api.AuthOptional, limitTo("2/h per principal on POST /guarded/touch", "3/h per tenant on POST /guarded/touch"))
	ada, _ := s.key("acme")
	bob, _ := s.key("acme")
	eve, _ := s.key("")
	touch := func(status int, headers ...string) *answer {
		t.Helper()
		a := s.do(http.MethodPost, "/guarded/touch", "", headers...)
		require.Equal(t, status, a.status, a.body)
		return a
	}
	assert.Regexp(t, `^"principal";r=1;t=\d+$`, touch(200, ada).header.Get("RateLimit"))
	touch(200, ada)
	assert.Contains(t, touch(429, ada).Error.Message, "2/h per principal")
	touch(200, bob)
	assert.Contains(t, touch(429, bob).Error.Message, "3/h per tenant", "both are of one tenant")
	touch(200, eve) // a caller without a tenant has no tenant limit
	touch(200)      // an anonymous caller counts by address
	touch(200)
	touch(429)
	touch(200, eve)
	keys := newGuarded(t, api.AuthOptional, limitTo("1/h per key on POST /guarded/touch"))
	one, _ := keys.key("")
	require.Equal(t, 200, keys.do(http.MethodPost, "/guarded/touch", "", one).status)
	require.Equal(t, 429, keys.do(http.MethodPost, "/guarded/touch", "", one).status)
	for range 3 {
		require.Equal(t, 200, keys.do(http.MethodPost, "/guarded/touch", "").status, "a caller without a key is not counted")
	}
}

func TestLimitsOfCallersCountAllPaths(t *testing.T) {
	t.Parallel()
	// By tenant: the stage waits for its service with a key that has none.
	s := newGuarded(t, api.AuthOptional, limitTo("4/h per tenant"))
	ada, _ := s.key("acme")
	for path, status := range map[string]int{"/guarded/open": 200, "/nothing": 404, "/requests/guarded.01a20bcf-ce84-7e3d-84df-72a1b21dd09e": 404} {
		require.Equal(t, status, s.do(http.MethodGet, path, "", ada).status, path)
	}
	require.Equal(t, 405, s.do(http.MethodPut, "/guarded/open", "", ada).status)
	s.refused(429, "RATE_LIMITED", http.MethodGet, "/guarded/open", "", ada)
}

// A limit per address counts before authentication: it bounds how often credentials are
// tried.
func TestLimitsComeBeforeCredentials(t *testing.T) {
	t.Parallel()
	s := startGateway(t, testsupport.Miniredis(t), "", with(api.AuthRequired), limitTo("3/h per address"))
	for range 3 {
		s.unauthenticated(http.MethodGet, "/things/1", "", "Authorization: Bearer mk_guess")
	}
	s.refused(429, "RATE_LIMITED", http.MethodGet, "/things/1", "", "Authorization: Bearer mk_guess")
	require.Equal(t, 200, s.do(http.MethodGet, "/healthz", "").status)
}

// A rule for a route cannot be bypassed by a version: it also counts the compositions that call
// its action, and calls of the action over a WebSocket.
func TestLimitsOfRoutesCountCompositions(t *testing.T) {
	t.Parallel()
	s := startGateway(t, testsupport.Miniredis(t), "", func(c *api.Config) { c.Versions = []byte(steps) },
		limitTo("3/h per address on POST /parts/:id", "1/h per address on POST /v1/parts/:id"))
	var p parts
	s.work(p.service(), notes())
	s.awaitRoute("/parts/1")
	s.awaitRoute("/notes/ready")
	const body = `{"currency":"EUR"}`
	assert.Equal(t, http.StatusCreated, s.do(http.MethodPost, "/parts/1", body).status)
	assert.Equal(t, http.StatusCreated, s.do(http.MethodPost, "/v1/parts/1", body).status)
	assert.Equal(t, http.StatusCreated, s.do(http.MethodPost, "/v1/things/7", "").status, "its step is MAKE")
	for _, path := range []string{"/v1/things/7", "/v1/parts/1", "/parts/1"} {
		s.refused(http.StatusTooManyRequests, "RATE_LIMITED", http.MethodPost, path, body)
	}
	assert.Equal(t, http.StatusOK, s.do(http.MethodGet, "/v1/parts/1", "").status, "another route")
	assert.EqualValues(t, 3, p.made.Load())
	s.logs.Wait(t, `route="POST /v1/parts/:id"`)
}
