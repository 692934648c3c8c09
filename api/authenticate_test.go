package api_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/api"
	"github.com/oskadev/mailroom/api/auth/keys"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/testsupport"
	"github.com/oskadev/mailroom/workers"
)

// key creates an API key and returns the header with it.
func (s *stage) key(tenant string, scopes ...string) (header string, made keys.Key) {
	s.t.Helper()
	text, made, err := keys.NewStore(s.conn).Create(s.ctx, keys.Key{Name: "test", Tenant: tenant, Scopes: scopes}, 0)
	require.NoError(s.t, err)
	return "Authorization: Bearer " + text, made
}

func with(auth api.Auth) func(*api.Config) {
	return func(c *api.Config) { c.Auth = auth }
}

// guarded is a service that returns its caller and requires scopes.
func (s *stage) guarded() *workers.Service {
	guarded := workers.NewService("guarded")
	guarded.Use(s.count)
	who := func(ctx context.Context) (*wire.Principal, error) { return workers.PrincipalFrom(ctx), nil }
	workers.Handle0(guarded, "OPEN", who, workers.Route("GET /guarded/open"))
	workers.Handle0(guarded, "READ", who, workers.Route("GET /guarded/read"), workers.Scope("things:read"))
	workers.Handle0(guarded, "BOTH", who, workers.Route("GET /guarded/both"), workers.Scope("things:read", "things:write"))
	workers.Handle1(guarded, "WRITE", func(ctx context.Context, _ thing) (*wire.Principal, error) { return who(ctx) },
		workers.Route("POST /guarded"), workers.Scope("things:write"))
	workers.Handle0(guarded, "TOUCH", who, workers.Route("POST /guarded/touch"))
	workers.Handle1(guarded, "CACHED", func(ctx context.Context, _ string) (*wire.Principal, error) { return who(ctx) },
		workers.Route("GET /guarded/cached/:id"), workers.Cache(time.Minute), workers.Scope("things:read"))
	return guarded
}

func newGuarded(t *testing.T, auth api.Auth, change ...func(*api.Config)) *stage {
	t.Helper()
	s := startGateway(t, testsupport.Miniredis(t), "", append(change, with(auth), patiently)...)
	s.work(s.guarded())
	header, _ := s.key("")
	testsupport.Eventually(t, patience, "it is served", func() bool {
		return s.do(http.MethodGet, "/guarded/open", "", header).status == http.StatusOK
	})
	s.runs.Store(0)
	return s
}

// unauthenticated sends a request that must get 401, and returns the message and challenge.
func (s *stage) unauthenticated(method, path, body string, headers ...string) string {
	s.t.Helper()
	a := s.refused(401, "UNAUTHENTICATED", method, path, body, headers...)
	challenge := a.header.Get("WWW-Authenticate")
	require.True(s.t, strings.HasPrefix(challenge, "Bearer realm="), challenge)
	return challenge
}

func TestRequiredCredentials(t *testing.T) {
	t.Parallel()
	s := newGuarded(t, api.AuthRequired)
	header, key := s.key("acme", "things:read")
	want := fmt.Sprintf(`{"subject":"key:%s","tenant":"acme","scopes":["things:read"]}`, key.ID)
	text := strings.TrimPrefix(header, "Authorization: Bearer ")
	for _, h := range []string{header, "X-API-Key: " + text, "Authorization: bearer   " + text} {
		s.got(want, http.MethodGet, "/guarded/open", "", h)
		s.got(want, http.MethodGet, "/guarded/read", "", h)
	}
	s.runs.Store(0)

	// The body of an unauthenticated request is not read.
	w := s.dial(t)
	w.say("POST /guarded HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n") // and nothing more
	assert.Equal(t, http.StatusUnauthorized, w.hear(http.MethodPost).status)
	w.closed()
	w = s.dial(t)
	w.say("POST /guarded HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1000\r\n\r\n")
	assert.Equal(t, http.StatusUnauthorized, w.hear(http.MethodPost).status)

	// An unauthenticated client does not learn which routes exist.
	for _, path := range []string{"/guarded/open", "/guarded/read", "/nope", "/", "/requests/guarded.x", "/requests", "/guarded/cached/1"} {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete, http.MethodOptions} {
			assert.NotContains(t, s.unauthenticated(method, path, ""), "error=", "%s %s", method, path)
		}
	}
	s.unauthenticated(http.MethodPost, "/guarded", `{"name":7}`)
	for _, path := range []string{"/healthz", "/readyz", "/healthz/"} {
		for _, headers := range [][]string{nil, {"Authorization: Bearer mk_bad"}} {
			assert.Equal(t, http.StatusOK, s.do(http.MethodGet, path, "", headers...).status, path)
		}
	}
	for _, bad := range []string{
		"Authorization: Bearer", "Authorization: Bearer ", "Authorization: " + text, "Authorization: Basic dTpw",
		"Authorization: Bearer mk_", "Authorization: Bearer " + text + "x", "Authorization: Bearer a.b.c", "X-API-Key: a.b.c",
		"X-API-Key: Bearer " + text, "X-API-Key: ", "Authorization: ", "Authorization: Bearer " + strings.Repeat("x", 8<<10),
	} {
		assert.Contains(t, s.unauthenticated(http.MethodGet, "/guarded/open", "", bad), `error="invalid_token"`, bad)
	}
	assert.Zero(t, s.runs.Load())
}

func TestOneCredentialIsEnough(t *testing.T) {
	t.Parallel()
	for _, auth := range []api.Auth{api.AuthRequired, api.AuthOptional} {
		s := newGuarded(t, auth)
		header, _ := s.key("")
		text := strings.TrimPrefix(header, "Authorization: Bearer ")
		for _, more := range []func(http.Header){
			func(h http.Header) { h.Add("X-Api-Key", text) },
			func(h http.Header) { h.Add("Authorization", "Bearer "+text) },
			func(h http.Header) { h.Add("Authorization", "") },
			func(h http.Header) { h.Del("Authorization"); h["X-Api-Key"] = []string{text, text} },
		} {
			r := s.request(http.MethodGet, "/guarded/open", "", header)
			more(r.Header)
			a, err := s.send(r)
			require.NoError(t, err)
			assert.Equal(t, http.StatusBadRequest, a.status, r.Header)
			assert.Contains(t, a.header.Get("WWW-Authenticate"), `error="invalid_request"`)
		}
		assert.Zero(t, s.runs.Load())
	}
}

func TestKeysWithOneBitChanged(t *testing.T) {
	t.Parallel()
	s := newGuarded(t, api.AuthRequired)
	header, _ := s.key("")
	for i := len("Authorization: Bearer mk_"); i < len(header); i++ {
		changed := []byte(header)
		changed[i] ^= 1
		s.unauthenticated(http.MethodGet, "/guarded/open", "", string(changed))
	}
}

func TestOptionalCredentials(t *testing.T) {
	t.Parallel()
	s := newGuarded(t, api.AuthOptional)
	s.got(`null`, http.MethodGet, "/guarded/open", "")
	s.refused(404, "NOT_FOUND", http.MethodGet, "/nope", "")
	assert.NotContains(t, s.unauthenticated(http.MethodGet, "/guarded/read", ""), "error=")
	s.unauthenticated(http.MethodPost, "/guarded", `{"name":7}`)
	assert.Contains(t, s.unauthenticated(http.MethodGet, "/guarded/open", "", "Authorization: Bearer mk_x"), "invalid_token")
	header, key := s.key("")
	s.got(`{"subject":"key:`+key.ID+`"}`, http.MethodGet, "/guarded/open", "", header)
}

func TestScopes(t *testing.T) {
	t.Parallel()
	s := newGuarded(t, api.AuthRequired)
	none, _ := s.key("")
	reads, _ := s.key("", "things:read", "things:writer")
	both, _ := s.key("", "things:write", "things:read")
	a := s.refused(403, "FORBIDDEN", http.MethodGet, "/guarded/read", "", none)
	assert.Contains(t, a.Error.Message, "things:read")
	assert.JSONEq(t, `{"scope":"things:read"}`, string(a.Error.Details))
	assert.Equal(t, "guarded", a.Error.Service)
	assert.Equal(t, `Bearer realm="mailroom", error="insufficient_scope", scope="things:read"`, a.header.Get("WWW-Authenticate"))
	a = s.refused(403, "FORBIDDEN", http.MethodGet, "/guarded/both", "", reads)
	assert.Contains(t, a.Error.Message, "things:write")
	assert.Contains(t, a.header.Get("WWW-Authenticate"), `scope="things:read things:write"`)
	s.refused(403, "FORBIDDEN", http.MethodPost, "/guarded", `{"name":7}`, reads)
	s.refused(403, "FORBIDDEN", http.MethodPost, "/guarded", `not JSON`, reads)
	assert.Zero(t, s.runs.Load(), "and the arguments were not checked")
	for _, path := range []string{"/guarded/read", "/guarded/both"} {
		assert.Equal(t, http.StatusOK, s.do(http.MethodGet, path, "", both).status)
	}
	s.refused(400, "BAD_REQUEST", http.MethodPost, "/guarded", `{"name":7}`, both)

	// A cached answer needs the scopes too.
	assert.Equal(t, http.StatusOK, s.do(http.MethodGet, "/guarded/cached/1", "", both).status)
	s.refused(403, "FORBIDDEN", http.MethodGet, "/guarded/cached/1", "", none)
	etag := s.do(http.MethodGet, "/guarded/cached/1", "", both).header.Get("ETag")
	s.refused(403, "FORBIDDEN", http.MethodGet, "/guarded/cached/1", "", none, "If-None-Match: "+etag)
	s.unauthenticated(http.MethodGet, "/guarded/cached/1", "", "If-None-Match: *")
}

func TestScopesOfBuildsThatLiveAtTheSameTime(t *testing.T) {
	t.Parallel()
	s := newGuarded(t, api.AuthRequired)
	header, _ := s.key("", "things:read")
	s.do(http.MethodGet, "/guarded/open", "", header)
	next := workers.NewService("guarded", workers.WithVersion("2"))
	workers.Handle0(next, "OPEN", func(context.Context) (int, error) { return 2, nil }, workers.Route("GET /guarded/open"), workers.Scope("new"))
	stop := s.work(next)
	testsupport.Eventually(t, patience, "the new scope is wanted", func() bool {
		return s.do(http.MethodGet, "/guarded/open", "", header).status == http.StatusForbidden
	})
	stop()
	testsupport.Eventually(t, patience, "it is wanted no longer", func() bool {
		return s.do(http.MethodGet, "/guarded/open", "", header).status == http.StatusOK
	})
}

func TestWithoutAuthScopesAreNotChecked(t *testing.T) {
	t.Parallel()
	s := newGuarded(t, "")
	s.got(`null`, http.MethodGet, "/guarded/read", "")
	header, _ := s.key("")
	s.got(`null`, http.MethodGet, "/guarded/read", "", header)
	s.got(`null`, http.MethodGet, "/guarded/read", "", "Authorization: Basic x", "X-API-Key: y")
	s.logs.Wait(t, "scopes are not checked")
	assert.Equal(t, 1, strings.Count(s.logs.String(), "scopes are not checked"))
}

func TestARevokedKeyIsRefusedAtAllGateways(t *testing.T) {
	t.Parallel()
	s := newGuarded(t, api.AuthRequired)
	other := startGateway(t, s.url, "", with(api.AuthRequired))
	header, key := s.key("")
	gateways := []*stage{s, other}
	for _, gateway := range gateways {
		testsupport.Eventually(t, patience, "it is let in", func() bool {
			return gateway.do(http.MethodGet, "/guarded/open", "", header).status == http.StatusOK
		})
	}
	require.NoError(t, keys.NewStore(s.conn).Revoke(s.ctx, key.ID))
	revoked := time.Now()
	for _, gateway := range gateways {
		testsupport.Eventually(t, patience, "it is refused", func() bool {
			return gateway.do(http.MethodGet, "/guarded/open", "", header).status == http.StatusUnauthorized
		})
	}
	assert.Less(t, time.Since(revoked), time.Second)
}

func TestWithoutRedisKeysAreUnavailable(t *testing.T) {
	t.Parallel()
	proxy := testsupport.StartProxy(t, strings.TrimPrefix(testsupport.Miniredis(t), "redis://"))
	s := startGateway(t, proxy.URL(), "", with(api.AuthRequired))
	proxy.Refuse(true)
	proxy.Cut()
	a := s.do(http.MethodGet, "/guarded/open", "", "Authorization: Bearer mk_abcdefghijklmnop_abcdefghijklmnopabcdefghijklmnop")
	assert.Equal(t, http.StatusServiceUnavailable, a.status, a.body)
	assert.NotEmpty(t, a.header.Get("Retry-After"))
	s.unauthenticated(http.MethodGet, "/guarded/open", "")
}

func TestTicketsBelongToTheirPrincipal(t *testing.T) {
	t.Parallel()
	s := newGuarded(t, api.AuthOptional)
	mine, _ := s.key("")
	others, _ := s.key("")
	tenant, _ := s.key("acme")
	location, _ := s.accepted("/guarded/touch", "Prefer: respond-async", mine)
	assert.Equal(t, http.StatusOK, s.do(http.MethodGet, location+"?wait=20", "", mine).status)
	for _, headers := range [][]string{{others}, {tenant}, nil} {
		s.refused(404, "NOT_FOUND", http.MethodGet, location, "", headers...)
		s.refused(404, "NOT_FOUND", http.MethodGet, location+"?wait=1", "", headers...)
		s.refused(404, "NOT_FOUND", http.MethodGet, location+"/events", "", headers...)
		s.refused(404, "NOT_FOUND", http.MethodDelete, location, "", headers...)
	}
	s.refused(409, "CONFLICT", http.MethodDelete, location, "", mine)
	// Every caller that knows the ticket of an anonymous caller can read it.
	location, _ = s.accepted("/guarded/touch", "Prefer: respond-async")
	assert.Equal(t, http.StatusOK, s.do(http.MethodGet, location, "").status)
	assert.Equal(t, http.StatusOK, s.do(http.MethodGet, location, "", mine).status)
}

func TestIdempotencyKeysBelongToTheirPrincipal(t *testing.T) {
	t.Parallel()
	s := newGuarded(t, api.AuthOptional)
	const idempotency = "Idempotency-Key: order-1"
	seen := make(map[string]bool)
	one, _ := s.key("", "things:write")
	other, _ := s.key("", "things:write")
	tenant, _ := s.key("acme", "things:write")
	for _, header := range []string{one, other, tenant} {
		first := s.do(http.MethodPost, "/guarded", `{"name":"a","size":1}`, header, idempotency)
		require.Equal(t, http.StatusOK, first.status, first.body)
		assert.Empty(t, first.header.Get("Idempotency-Replayed"))
		assert.False(t, seen[string(first.Result)])
		seen[string(first.Result)] = true
		again := s.got(string(first.Result), http.MethodPost, "/guarded", `{"name":"a","size":1}`, header, idempotency)
		assert.Equal(t, "true", again.header.Get("Idempotency-Replayed"))
		s.refused(422, "IDEMPOTENCY_KEY_REUSED", http.MethodPost, "/guarded", `{"name":"b","size":1}`, header, idempotency)
	}
	assert.EqualValues(t, 3, s.runs.Load())
	s.got(`null`, http.MethodPost, "/guarded/touch", "", idempotency)
	s.got(`null`, http.MethodPost, "/guarded/touch", "", idempotency)
	assert.EqualValues(t, 4, s.runs.Load(), "all anonymous callers count as one")
}
