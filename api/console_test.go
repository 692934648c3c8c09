package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/api"
	"github.com/oskadev/mailroom/api/auth/keys"
	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/admin"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/testsupport"
	"github.com/oskadev/mailroom/workers"
)

// operator is a browser on the operator's pages of a stage.
type operator struct {
	*stage

	base   string
	client *http.Client
}

// operate serves the operator's pages and returns a browser without a session.
func (s *stage) operate() *operator {
	s.t.Helper()
	server := httptest.NewServer(s.server.Ops())
	s.t.Cleanup(server.Close)
	jar, err := cookiejar.New(nil)
	require.NoError(s.t, err)
	client := &http.Client{Jar: jar}
	s.t.Cleanup(client.CloseIdleConnections)
	return &operator{s, server.URL, client}
}

// key makes an API key with scopes.
func (s *stage) operatorKey(scopes ...string) (text, id string) {
	s.t.Helper()
	text, k, err := keys.NewStore(s.conn).Create(s.ctx, keys.Key{Name: "operator", Scopes: scopes}, 0)
	require.NoError(s.t, err)
	return text, k.ID
}

// shown is a page.
type shown struct {
	status int
	path   string
	text   string
	header http.Header
}

func (o *operator) do(method, path string, form url.Values, headers ...string) shown {
	o.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(o.ctx, method, o.base+path, body)
	require.NoError(o.t, err)
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	response, err := o.client.Do(r)
	require.NoError(o.t, err)
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	require.NoError(o.t, err)
	return shown{response.StatusCode, response.Request.URL.RequestURI(), string(text), response.Header}
}

func (o *operator) get(path string) shown { return o.do(http.MethodGet, path, nil) }

// login opens a session with a new key.
func (o *operator) login(scopes ...string) (id string) {
	o.t.Helper()
	text, id := o.operatorKey(scopes...)
	page := o.do(http.MethodPost, "/console/login", url.Values{"key": {text}})
	require.Equal(o.t, "/console/", page.path, page.text)
	return id
}

var tokenField = regexp.MustCompile(`name="token" value="([^"]*)"`)

// post sends a form of a page with its token.
func (o *operator) post(page, path string, form url.Values) shown {
	o.t.Helper()
	token := tokenField.FindStringSubmatch(o.get(page).text)
	require.NotNil(o.t, token, "a form on %s", page)
	form.Set("token", html.UnescapeString(token[1]))
	return o.do(http.MethodPost, path, form)
}

func TestConsoleWantsALogin(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	o := s.operate()
	for _, path := range []string{"/console", "/console/", "/console/services/things", "/console/recent", "/console/requests?id=x", "/console/keys", "/console/audit"} {
		assert.Equal(t, "/console/login", o.get(path).path, path)
	}
	assert.Equal(t, http.StatusUnauthorized, o.get("/console/live?page=/console/").status)
	assert.Equal(t, http.StatusUnauthorized, o.do(http.MethodPost, "/console/services/things/pause", url.Values{"token": {""}}).status)
	for _, text := range []string{"", "mk_nonsense", "mk_aaaaaaaaaaaaaaaa_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"} {
		assert.Equal(t, http.StatusUnauthorized, o.do(http.MethodPost, "/console/login", url.Values{"key": {text}}).status, text)
	}
	text, _ := s.operatorKey("things:read")
	page := o.do(http.MethodPost, "/console/login", url.Values{"key": {text}})
	assert.Equal(t, http.StatusForbidden, page.status)
	assert.Contains(t, page.text, "console:read")
	assert.NotContains(t, s.logs.String(), "mk_", "no key is logged")
	assert.Equal(t, http.StatusNotFound, s.do(http.MethodGet, "/console", "").status, "not for clients of the gateway")
}

// A session ends with its key, and cannot be forged.
func TestSessionOfTheConsole(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	o := s.operate()
	id := o.login("console:read")
	page := o.get("/console/")
	assert.Equal(t, http.StatusOK, page.status)
	assert.Contains(t, page.header.Get("Content-Security-Policy"), "frame-ancestors 'none'")
	assert.Contains(t, page.header.Get("Content-Security-Policy"), "script-src 'self'")
	assert.Contains(t, page.text, "things")

	base, err := url.Parse(o.base + "/console/")
	require.NoError(t, err)
	cookie := o.client.Jar.Cookies(base)[0]
	forged := s.operate()
	changed := strings.Replace(cookie.Value, id, strings.Repeat("a", len(id)), 1)
	forged.client.Jar.SetCookies(base, []*http.Cookie{{Name: cookie.Name, Value: changed, Path: "/console"}})
	forged.base = o.base
	assert.Equal(t, "/console/login", forged.get("/console/").path)

	require.NoError(t, keys.NewStore(s.conn).Revoke(s.ctx, id))
	assert.Equal(t, "/console/login", o.get("/console/").path, "the key is revoked")
}

func TestConsoleRefusesForgedForms(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	reader, writer := s.operate(), s.operate()
	reader.login("console:read")
	writer.login("console:write")
	assert.Equal(t, http.StatusForbidden, reader.do(http.MethodPost, "/console/services/things/pause", url.Values{"token": {"x"}}).status, "lacks the scope")
	assert.Equal(t, http.StatusForbidden, writer.do(http.MethodPost, "/console/services/things/pause", url.Values{"token": {"x"}}).status, "a wrong token")
	assert.Equal(t, http.StatusForbidden, writer.do(http.MethodPost, "/console/services/things/pause", url.Values{"token": {"x"}}, "Sec-Fetch-Site: cross-site").status)
	assert.Equal(t, http.StatusBadRequest, writer.get("/console/live?page="+url.QueryEscape("https://example.com/console/")).status)
	assert.Equal(t, http.StatusBadRequest, writer.get("/console/live?page=/console/live").status)
	services, err := admin.ReadAudit(s.ctx, s.conn, 10)
	require.NoError(t, err)
	assert.Empty(t, services)
}

// In development the console is open, but not to pages of other sites whose name points to
// this machine.
func TestOpenConsole(t *testing.T) {
	t.Parallel()
	s := newStage(t, func(c *api.Config) { c.OwnOps = true })
	o := s.operate()
	assert.Equal(t, http.StatusOK, o.get("/console/").status)
	r, err := http.NewRequestWithContext(s.ctx, http.MethodGet, o.base+"/console/", nil)
	require.NoError(t, err)
	r.Host = "rebound.example.com"
	response, err := o.client.Do(r)
	require.NoError(t, err)
	_ = response.Body.Close()
	assert.Equal(t, http.StatusForbidden, response.StatusCode)
	remote := httptest.NewRequestWithContext(s.ctx, http.MethodGet, "http://localhost/console/", nil)
	remote.RemoteAddr = "192.0.2.7:40000"
	answer := httptest.NewRecorder()
	s.server.Ops().ServeHTTP(answer, remote)
	assert.Equal(t, http.StatusForbidden, answer.Code, "another machine that claims to be this one")
	page := o.post("/console/services/things", "/console/services/things/pause", url.Values{"callers": {"refuse"}})
	assert.Contains(t, page.text, "The mailbox is paused.")
	own, err := s.client.Do(s.request(http.MethodGet, "/console/recent", ""))
	require.NoError(t, err)
	defer func() { _ = own.Body.Close() }()
	assert.Equal(t, http.StatusOK, own.StatusCode, "on the port of the gateway")
}

// hostileMark is what must never become markup.
const hostileMark = `<img src=x onerror=alert(1)>"'</script>`

// announce writes a manifest and a live worker, as a worker that checks nothing does.
func (s *stage) announce(m *wire.Manifest) {
	s.t.Helper()
	text, digest, err := m.Encode()
	require.NoError(s.t, err)
	rdb, names := s.conn.Redis(), s.conn.Keys
	require.NoError(s.t, rdb.Set(s.ctx, names.Manifest(m.Service, digest), text, 0).Err())
	require.NoError(s.t, rdb.ZAdd(s.ctx, names.Workers(m.Service), redis.Z{Score: float64(time.Now().Add(time.Hour).UnixMilli()), Member: m.Service + "." + strings.ReplaceAll(hostileMark, " ", "/") + " " + digest}).Err())
	require.NoError(s.t, rdb.SAdd(s.ctx, names.Services(), m.Service).Err())
}

// Names and payloads from services and callers stay text.
func TestHostileTextStaysText(t *testing.T) {
	t.Parallel()
	s := startGateway(t, testsupport.Miniredis(t), "")
	spiteful := workers.NewService("spiteful")
	workers.Handle1(spiteful, "ACT", func(_ context.Context, _ string) (string, error) {
		return "", workers.Fail("CODE", 500, hostileMark)
	}, workers.Route("GET /spiteful/:text"))
	s.work(spiteful)
	s.announce(&wire.Manifest{Service: "hostile", Version: hostileMark, Protocol: 1, Actions: []wire.Action{{
		Name: "ACT" + hostileMark, Summary: hostileMark, Routes: []string{"GET /hostile/" + hostileMark}, Lane: hostileMark, Result: json.RawMessage(`{"title":` + strconv.Quote(hostileMark) + `}`),
		Args: []wire.Argument{{Name: hostileMark, In: hostileMark, Schema: json.RawMessage(`{"enum":[` + strconv.Quote(hostileMark) + `],"default":` + strconv.Quote(hostileMark) + `}`)}},
	}}})
	testsupport.Eventually(t, patience, "the services are known", func() bool {
		return s.do(http.MethodGet, "/spiteful/"+url.PathEscape(hostileMark), "", "X-Request-Id: seen").status == http.StatusInternalServerError && s.server.Serves("hostile")
	})
	o := s.operate()
	o.login("console:write")
	testsupport.Eventually(t, patience, "the request is in the history", func() bool {
		return strings.Contains(o.get("/console/requests?id=seen&show=1").text, "onerror")
	})
	for _, path := range []string{
		"/console/", "/console/services/hostile", "/console/services/hostile?action=" + url.QueryEscape("ACT"+hostileMark), "/console/recent", "/console/requests?id=seen&show=1",
		"/console/requests?id=" + url.QueryEscape(hostileMark), "/console/recent?action=" + url.QueryEscape(hostileMark), "/console/dead/spiteful?reason=" + url.QueryEscape(hostileMark),
		"/console/?notice=" + url.QueryEscape(hostileMark),
	} {
		assert.NotContains(t, o.get(path).text, "<img", path)
	}
	assert.NotContains(t, s.metrics(), "\n<img")
}

// A dead letter is found, looked at, replayed after a confirmation, and audited; a service
// is paused; an action is invoked. All with the rights of mailroom acl api --console.
func TestConsoleActsWithTheRightsOfItsRole(t *testing.T) {
	t.Parallel()
	server := testsupport.StartRedis(t)
	names, err := wire.NewKeys(wire.DefaultNamespace)
	require.NoError(t, err)
	user, err := admin.GatewayUser("api", names, admin.GatewayAccess{Console: true})
	require.NoError(t, err)
	user.Passwords = []string{"secret"}
	log, _ := testsupport.Logger(t)
	own, err := bus.Connect(server.URL(), bus.Options{Logger: log})
	require.NoError(t, err)
	t.Cleanup(func() { _ = own.Close() })
	_, err = admin.ApplyACL(t.Context(), own, user)
	require.NoError(t, err)
	s := startGateway(t, server.URL(), strings.Replace(server.URL(), "://", "://api:secret@", 1))
	var lost bool
	letters := workers.NewService("letters")
	workers.Handle1(letters, "KEEP", func(_ context.Context, in struct {
		Email string `json:"email"`
	},
	) (string, error) {
		if lost {
			return "kept " + in.Email, nil
		}
		return "", workers.NoOutcome(context.DeadlineExceeded)
	}, workers.Route("POST /letters"))
	stop := s.workWith(workers.Config{MaxAttempts: 1}, letters)
	testsupport.Eventually(t, patience, "a request is accepted", func() bool {
		return s.do(http.MethodPost, "/letters", `{"email":"ada@example.com"}`, "Prefer: respond-async", "Idempotency-Key: one").status == http.StatusAccepted
	})
	o := s.operate()
	o.login("console:read", "console:write")
	testsupport.Eventually(t, patience, "it is a dead letter", func() bool {
		return strings.Contains(o.get("/console/dead/letters").text, "delivered 1 times")
	})
	list := o.get("/console/dead/letters").text
	entry := regexp.MustCompile(`name="entry" value="([^"]+)"`).FindStringSubmatch(list)[1]
	testsupport.Eventually(t, patience, "the service is listed", func() bool { return strings.Contains(o.get("/console/dead").text, "/console/dead/letters") })
	assert.Contains(t, o.get("/console/dead/letters/"+entry).text, "ada@example.com")
	stop()
	lost = true
	s.workWith(workers.Config{MaxAttempts: 1}, letters)
	page := o.post("/console/dead/letters", "/console/dead/letters", url.Values{"do": {"replay"}, "entry": {entry}})
	assert.Contains(t, page.text, "Replay 1 dead letters")
	assert.Contains(t, o.get("/console/dead/letters").text, entry, "nothing happens before the confirmation")
	page = o.post("/console/dead/letters", "/console/dead/letters", url.Values{"do": {"replay"}, "entry": {entry}, "confirm": {"yes"}})
	assert.Contains(t, page.text, "1 dead letters: replayed 1")
	assert.NotContains(t, o.get("/console/dead/letters").text, entry)
	assert.Contains(t, o.get("/console/audit").text, "replay")

	assert.Contains(t, o.post("/console/services/letters", "/console/services/letters/pause", url.Values{"callers": {"wait"}}).text, "The mailbox is paused.")
	assert.Contains(t, o.post("/console/services/letters", "/console/services/letters/resume", url.Values{}).text, "The mailbox is resumed.")
	testsupport.Eventually(t, patience, "an action is invoked", func() bool {
		page = o.post("/console/services/letters?action=KEEP", "/console/services/letters/invoke", url.Values{"action": {"KEEP"}, "arg:body": {`{"email":"b@example.com"}`}})
		return strings.Contains(html.UnescapeString(page.text), `"result": "kept b@example.com"`)
	})
	_, id := s.operatorKey("things:read")
	assert.Contains(t, o.post("/console/keys", "/console/keys/revoke", url.Values{"id": {id}}).text, "The key is revoked.")
	for _, path := range []string{"/console/gateways", "/console/versions", "/console/recent"} {
		assert.Equal(t, http.StatusOK, o.get(path).status, path)
	}
}

// Members that a rule names are hidden everywhere.
func TestMasks(t *testing.T) {
	t.Parallel()
	mask, err := api.ParseMask("users.*.email")
	require.NoError(t, err)
	s := startGateway(t, testsupport.Miniredis(t), "", func(c *api.Config) { c.Masks = []api.Mask{mask} })
	s.sell()
	require.Equal(t, http.StatusCreated, s.do(http.MethodPost, "/users", `{"name":"Ada","email":"ada@example.com"}`, "X-Request-Id: masked").status)
	o := s.operate()
	o.login("console:read")
	var page string
	testsupport.Eventually(t, patience, "the request is in the history", func() bool {
		page = o.get("/console/requests?id=masked&show=1").text
		return strings.Contains(page, "Ada")
	})
	assert.NotContains(t, page, "ada@example.com")
	for _, bad := range []string{"", "users", "users.*", "users..email", "a..", ".b.c"} {
		_, err := api.ParseMask(bad)
		assert.Error(t, err, bad)
	}
}

// An open page gets its changes, and none after the end of its session.
func TestLivePages(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	o := s.operate()
	id := o.login("console:read")
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, o.base+"/console/live?page="+url.QueryEscape("/console/recent?status=404"), nil)
	require.NoError(t, err)
	response, err := o.client.Do(r)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	assert.Equal(t, "text/event-stream", response.Header.Get("Content-Type"))
	s.do(http.MethodGet, "/missing-page", "")
	seen := make([]byte, 0, 1<<16)
	for !strings.Contains(string(seen), "missing-page") {
		part := make([]byte, 4096)
		n, err := response.Body.Read(part)
		require.NoError(t, err)
		seen = append(seen, part[:n]...)
	}
	require.NoError(t, keys.NewStore(s.conn).Revoke(s.ctx, id))
	_, err = io.Copy(io.Discard, response.Body)
	require.NoError(t, err, "the stream ends")
}

// A service with thousands of actions and a large schema breaks no page.
func TestHugeServiceInTheConsole(t *testing.T) {
	t.Parallel()
	s := startGateway(t, testsupport.Miniredis(t), "")
	huge := workers.NewService("huge")
	for i := range 2000 {
		workers.Handle0(huge, fmt.Sprintf("ACTION_%d", i), func(context.Context) (int, error) { return 1, nil })
	}
	s.work(huge)
	o := s.operate()
	o.login("console:read")
	testsupport.Eventually(t, patience, "the service is known", func() bool { return o.get("/console/services/huge").status == http.StatusOK })
	page := o.get("/console/services/huge")
	assert.Less(t, len(page.text), 150_000)
	assert.Contains(t, page.text, "1800 more actions")
}
