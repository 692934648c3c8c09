package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/api"
	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/internal/busctx"
	"github.com/oskadev/mailroom/testsupport"
)

func TestEveryAnswerIsGuarded(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for _, c := range []struct {
		status             int
		method, path, body string
	}{
		{200, http.MethodGet, "/things/count", ""},
		{200, http.MethodHead, "/things/count", ""},
		{201, http.MethodPost, "/things", fits},
		{204, http.MethodOptions, "/things", ""},
		{400, http.MethodPost, "/things", "{"},
		{404, http.MethodGet, "/nothing", ""},
		{405, http.MethodPut, "/things", ""},
		{413, http.MethodPost, "/things", strings.Repeat(" ", 1<<20+1)},
		{500, http.MethodPost, "/things/panic", ""},
		{200, http.MethodGet, "/healthz", ""},
	} {
		a := s.do(c.method, c.path, c.body)
		require.Equal(t, c.status, a.status, a.body)
		assert.Equal(t, "nosniff", a.header.Get("X-Content-Type-Options"), c.path)
		assert.Equal(t, "no-store", a.header.Get("Cache-Control"), c.path)
		assert.Equal(t, "default-src 'none'; frame-ancestors 'none'", a.header.Get("Content-Security-Policy"), c.path)
		assert.Empty(t, a.header.Get("Strict-Transport-Security"), "without TLS it would mean nothing")
	}
}

// A client that sends its whole request before it reads gets an answer and not a reset.
func TestRefusedClientsCanReadTheError(t *testing.T) {
	t.Parallel()
	s := newStage(t, func(c *api.Config) { c.BodyLimit = 1000 })
	for range 20 {
		w := s.dial(t)
		w.say("GET /things/count HTTP/1.1\r\nHost: x\r\nX-Long: " + strings.Repeat("x", 100_000) + "\r\n\r\n")
		assert.Equal(t, "HEADERS_TOO_LARGE", w.hear(http.MethodGet).Error.Code)
		w.closed()
		w = s.dial(t)
		w.say("POST /things HTTP/1.1\r\nHost: x\r\nContent-Length: 500000\r\n\r\n" + strings.Repeat(" ", 500_000))
		assert.Equal(t, "PAYLOAD_TOO_LARGE", w.hear(http.MethodPost).Error.Code)
		w.closed()
		w = s.dial(t)
		w.say("POST /things HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat(" ", 500_000))
		assert.Equal(t, "BAD_REQUEST", w.hear(http.MethodPost).Error.Code)
		w.closed()
	}
	s.got(`3`, http.MethodGet, "/things/count", "", "X-Long: "+strings.Repeat("x", 10_000))
}

func TestBodiesThatParsersReadDifferently(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for name, body := range map[string]string{
		"a name twice":          `{"name":"a","size":1,"name":"b"}`,
		"a name twice, escaped": `{"name":"a","size":1,"n\u0061me":"b"}`,
		"10,000 deep":           strings.Repeat(`[`, 10_000) + strings.Repeat(`]`, 10_000),
		"never closed":          strings.Repeat(`[`, 100_000),
		"deep within a field":   `{"name":"a","size":1,"tags":` + strings.Repeat(`[`, 300) + strings.Repeat(`]`, 300) + `}`,
		"a raw null":            "{\"name\":\"a\x00\",\"size\":1}",
		"a null between tokens": "{\"name\":\"a\",\x00\"size\":1}",
		"not UTF-8":             "{\"name\":\"\xff\",\"size\":1}",
		"half a surrogate pair": "{\"name\":\"\xed\xa0\x80\",\"size\":1}",
		"behind the end":        fits + `{}`,
		"a comment":             `{"name":"a",/**/"size":1}`,
		"a comma too many":      `{"name":"a","size":1,}`,
		"single quotes":         `{'name':'a','size':1}`,
		"a byte order mark":     "\ufeff" + fits,
	} {
		a := s.do(http.MethodPost, "/things", body)
		require.Equal(t, 400, a.status, name)
		assert.NotEmpty(t, a.faults(t), name)
	}
	s.untouched()
}

func TestPagesOfOtherOrigins(t *testing.T) {
	t.Parallel()
	s := newStage(t, func(c *api.Config) {
		c.CORS = api.CORS{Origins: []string{"https://app.example.com", "https://*.partner.example"}}
	})
	preflight := func(origin string) *answer {
		a := s.do(http.MethodOptions, "/things", "", "Origin: "+origin, "Access-Control-Request-Method: POST",
			"Access-Control-Request-Headers: authorization,content-type")
		require.Equal(t, 204, a.status)
		return a
	}
	for _, origin := range []string{"https://app.example.com", "https://a.partner.example"} {
		a := preflight(origin)
		assert.Equal(t, origin, a.header.Get("Access-Control-Allow-Origin"))
		assert.Contains(t, a.header.Get("Access-Control-Allow-Methods"), "POST")
		assert.Contains(t, a.header.Get("Access-Control-Allow-Headers"), "Authorization")
		assert.Contains(t, a.header.Get("Access-Control-Allow-Headers"), "Idempotency-Key")
		assert.Equal(t, "600", a.header.Get("Access-Control-Max-Age"))
		a = s.got(`3`, http.MethodGet, "/things/count", "", "Origin: "+origin)
		assert.Equal(t, origin, a.header.Get("Access-Control-Allow-Origin"))
		assert.Contains(t, a.header.Get("Access-Control-Expose-Headers"), "X-Request-Id")
		assert.Contains(t, a.header.Get("Vary"), "Origin")
		a = s.refused(404, "NOT_FOUND", http.MethodGet, "/nothing", "", "Origin: "+origin)
		assert.Equal(t, origin, a.header.Get("Access-Control-Allow-Origin"), "errors too")
	}
	for _, origin := range []string{"https://evil.example", "http://app.example.com", "https://app.example.com.evil.example", "https://partner.example.evil", "null"} {
		assert.Empty(t, preflight(origin).header.Get("Access-Control-Allow-Origin"), origin)
		assert.Empty(t, s.got(`3`, http.MethodGet, "/things/count", "", "Origin: "+origin).header.Get("Access-Control-Allow-Origin"), origin)
	}
	a := s.do(http.MethodOptions, "/things", "") // no preflight
	assert.Contains(t, a.header.Get("Allow"), "POST")

	plain := newStage(t)
	a = plain.got(`3`, http.MethodGet, "/things/count", "", "Origin: https://app.example.com")
	assert.Empty(t, a.header.Get("Access-Control-Allow-Origin"), "only the named origins are admitted")
}

// A page can read a refusal that the gateway sends before it handles the request.
func TestPagesReadEarlyRefusals(t *testing.T) {
	t.Parallel()
	for _, origins := range [][]string{{"https://app.example.com"}, {"https://*.example.com"}} {
		s := newGuarded(t, api.AuthRequired, func(c *api.Config) {
			c.CORS, c.BodyLimit = api.CORS{Origins: origins, Credentials: true}, 100
		})
		key, _ := s.key("")
		for status, headers := range map[int][]string{401: nil, 413: {key}} {
			a := s.do(http.MethodPost, "/guarded/open", `"`+strings.Repeat("x", 200)+`"`, append(headers, "Origin: https://app.example.com")...)
			require.Equal(t, status, a.status)
			assert.Equal(t, "https://app.example.com", a.header.Get("Access-Control-Allow-Origin"), status)
			assert.Equal(t, "true", a.header.Get("Access-Control-Allow-Credentials"))
			assert.Contains(t, a.header.Get("Vary"), "Origin")
			assert.Contains(t, a.header.Get("Access-Control-Expose-Headers"), "X-Request-Id")
			for _, foreign := range []string{"https://example.com.evil", "http://app.example.com", "null"} {
				a = s.do(http.MethodPost, "/guarded/open", `"`+strings.Repeat("x", 200)+`"`, append(headers, "Origin: "+foreign)...)
				assert.Empty(t, a.header.Get("Access-Control-Allow-Origin"), foreign)
			}
		}
	}
}

func TestConfigOfTheEdgeNamesEveryFault(t *testing.T) {
	t.Parallel()
	conn, err := bus.Connect(testsupport.Miniredis(t), bus.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	_, err = api.New(busctx.With(t.Context(), conn), api.Config{
		InFlight: -1, TLSCert: "only.pem",
		CORS: api.CORS{Origins: []string{"*", "app.example.com", "https://app.example.com/path", "ftp://x"}, MaxAge: -1, Credentials: true},
	})
	for _, origin := range []string{"https://a.example#", "https://a.example?", "https://*.*.example", "https://u@a.example"} {
		_, err := api.New(busctx.With(t.Context(), conn), api.Config{CORS: api.CORS{Origins: []string{origin}}})
		require.ErrorContains(t, err, "CORS origin", origin)
	}
	_, again := api.New(busctx.With(t.Context(), conn), api.Config{Limits: []api.LimitRule{{Per: "key"}, {Per: "person"}}, Sizes: []api.SizeRule{{Route: "GET /a"}, {Route: "GET /a"}}})
	for _, says := range []string{"rate of 0", `"person"`, "GET /a is given twice"} {
		require.ErrorContains(t, again, says)
	}
	for _, says := range []string{"in flight -1", "one of the two is missing", "stands alone", `"app.example.com"`, "/path", "ftp://x", "max age"} {
		require.ErrorContains(t, err, says)
	}
	_, err = api.New(busctx.With(t.Context(), conn), api.Config{TLSCert: "missing.pem", TLSKey: "missing.key"})
	require.ErrorContains(t, err, "missing.pem")
}

// Preflights are answered without a credential, so the rates of addresses bound them.
func TestPreflightsCount(t *testing.T) {
	t.Parallel()
	s := startGateway(t, testsupport.Miniredis(t), "", limitTo("3/h per address"), func(c *api.Config) { c.CORS = api.CORS{Origins: []string{"https://app.example.com"}} })
	left := 0
	testsupport.Eventually(t, patience, "the rate is used up", func() bool {
		a := s.do(http.MethodOptions, "/things", "", "Origin: https://app.example.com", "Access-Control-Request-Method: POST")
		if a.status == http.StatusNoContent {
			left++
			return false
		}
		assert.Equal(t, http.StatusTooManyRequests, a.status)
		assert.NotEmpty(t, a.header.Get("Retry-After"))
		assert.Equal(t, "https://app.example.com", a.header.Get("Access-Control-Allow-Origin"), "the page may read why")
		return true
	})
	assert.LessOrEqual(t, left, 3)
}
