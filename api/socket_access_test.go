package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/api"
	"github.com/oskadev/mailroom/api/auth/keys"
	"github.com/oskadev/mailroom/testsupport"
)

func TestSocketAuthentication(t *testing.T) {
	t.Parallel()
	s := newGuarded(t, api.AuthRequired)
	header, made := s.key("", "things:read")
	text := strings.TrimPrefix(header, "Authorization: Bearer ")

	p := s.socket(header)
	a := p.ask(`{"id":1,"service":"guarded","request":"READ"}`)
	assert.Equal(t, "key:"+made.ID, a["result"].(map[string]any)["subject"])
	assert.Equal(t, "FORBIDDEN", code(p.ask(`{"id":1,"service":"guarded","request":"BOTH"}`)))

	p = s.openSocket()
	p.send(`{"auth":"` + text + `"}`)
	hello := p.expect("hello")["hello"].(map[string]any)
	assert.Equal(t, "key:"+made.ID, hello["principal"])
	assert.Equal(t, true, p.ask(`{"id":1,"service":"guarded","request":"READ"}`)["ok"])

	_, err := s.tryOpen("Authorization: Bearer mk_wrong")
	var status ws.StatusError
	require.ErrorAs(t, err, &status)
	assert.EqualValues(t, http.StatusUnauthorized, status)

	p = s.openSocket()
	p.send(`{"auth":"mk_wrong"}`)
	p.closed("unauthenticated", 4401)
	p = s.openSocket()
	p.send(`{"auth":null}`)
	p.closed("unauthenticated", 4401)
	p = s.openSocket()
	p.send(`{"id":1,"service":"guarded","request":"OPEN"}`)
	p.closed("unauthenticated", 4401)
	p = s.openSocket()
	p.send(`{"auth":7}`)
	p.closed("invalid", 4400)
	assert.NotContains(t, s.logs.String(), text)
}

func TestAnonymousSockets(t *testing.T) {
	t.Parallel()
	s := newGuarded(t, api.AuthOptional)
	p := s.openSocket()
	p.send(`{"auth":null}`)
	p.expect("hello")
	assert.Equal(t, true, p.ask(`{"id":1,"service":"guarded","request":"OPEN"}`)["ok"])
	assert.Equal(t, "UNAUTHENTICATED", code(p.ask(`{"id":1,"service":"guarded","request":"READ"}`)))
	p = s.openSocket()
	p.send(`{"id":1,"service":"guarded","request":"OPEN"}`)
	p.expect("hello")
	assert.Equal(t, true, p.expect("ok")["ok"])
}

func TestSocketRateLimits(t *testing.T) {
	t.Parallel()
	rule, err := api.ParseLimit("1/h per route on GET /things/:id")
	require.NoError(t, err)
	s := newStage(t, func(c *api.Config) { c.Limits = append(c.Limits, rule) })
	p := s.socket()
	assert.Equal(t, true, p.ask(`{"id":1,"service":"things","request":"GET_THING","args":[7]}`)["ok"])
	refused := p.ask(`{"id":1,"service":"things","request":"GET_THING","args":[7]}`)
	assert.Equal(t, "RATE_LIMITED", code(refused))
	assert.Positive(t, refused["retry_after"])
}

func TestHandshakesThatAreRefused(t *testing.T) {
	t.Parallel()
	s := newStage(t, func(c *api.Config) { c.CORS.Origins = []string{"https://app.example.com"} })
	valid := []string{
		"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
		"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Protocol: other, mailroom.v1",
	}
	for _, wrong := range []string{
		"Connection: close", "Upgrade: h2c", "Sec-WebSocket-Version: 8", "Sec-WebSocket-Key: AAAA", "Sec-WebSocket-Protocol: other",
	} {
		s.refused(http.StatusBadRequest, "BAD_REQUEST", http.MethodGet, "/socket", "", append(valid, wrong)...)
	}
	s.refused(http.StatusForbidden, "FORBIDDEN", http.MethodGet, "/socket", "", append(valid, "Origin: https://evil.example.com")...)
	s.refused(http.StatusMethodNotAllowed, "METHOD_NOT_ALLOWED", http.MethodPost, "/socket", "{}")
	for _, origin := range []string{"https://app.example.com", "http://" + s.addr} {
		p, err := s.tryOpen("Origin: " + origin)
		require.NoError(t, err)
		p.expect("hello")
	}
}

func TestGatewayThatStopsAnswersItsSockets(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	entered, release := s.hold()
	busy, idle, silent := s.socket(), s.socket(), s.socket()
	assert.Equal(t, true, idle.ask(`{"id":1,"service":"things","request":"COUNT"}`)["ok"])
	busy.send(`{"id":1,"service":"slow","request":"HOLD"}`)
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- s.stop() }()
	bye := idle.closed("drain", 1001)
	assert.InDelta(t, 1000, bye["retry"], 0)
	silent.closed("drain", 1001)
	close(release)
	assert.Equal(t, "held", busy.expect("ok")["result"])
	busy.closed("drain", 1001)
	require.NoError(t, <-stopped)
}

const greetManifest = `{"serve":{"service":"greet","actions":[{"name":"HELLO","routes":["GET /greet/:name"]}]},"concurrency":1}`

func TestWorkersServeOverSockets(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	first, second := s.socket(), s.socket()
	first.send(greetManifest)
	first.expect("serving")
	done := make(chan *answer, 1)
	get := func() {
		a, err := s.send(s.request(http.MethodGet, "/greet/Oska", ""))
		assert.NoError(t, err)
		done <- a
	}
	testsupport.Eventually(t, patience, "it is routed", func() bool {
		return s.do(http.MethodOptions, "/greet/Oska", "").status == http.StatusNoContent
	})
	go get()
	run := first.expect("run")
	assert.Equal(t, []any{"Oska"}, run["args"])
	first.send(`{"run":"` + run["run"].(string) + `","ok":true,"result":"hello"}`)
	assert.JSONEq(t, `"hello"`, string((<-done).Result))

	// The requests of a worker whose socket breaks go to another.
	go get()
	first.expect("run")
	second.send(greetManifest)
	second.expect("serving")
	require.NoError(t, first.conn.Close())
	run = second.expect("run")
	assert.InDelta(t, 2, run["attempt"], 0)
	second.send(`{"run":"` + run["run"].(string) + `","ok":true,"result":"again"}`)
	assert.JSONEq(t, `"again"`, string((<-done).Result))
	stopped := make(chan error, 1)
	go func() { stopped <- s.stop() }()
	second.expect("drain")
	second.closed("drain", 1001)
	require.NoError(t, <-stopped)
}

func TestWorkersOverSocketsNeedTheScope(t *testing.T) {
	t.Parallel()
	s := newGuarded(t, api.AuthOptional)
	header, _ := s.key("", "serve:greet")
	other, _ := s.key("", "serve:greetings")
	p := s.socket(header)
	p.send(greetManifest)
	p.expect("serving")
	p = s.socket(other)
	p.send(greetManifest)
	assert.Contains(t, p.closed("forbidden", 4403)["message"], "serve:greet")
	p = s.openSocket()
	p.send(greetManifest)
	p.expect("hello")
	p.closed("forbidden", 4403)
}

func TestClientsCannotServeLater(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	p := s.socket()
	p.ask(`{"id":1,"service":"things","request":"COUNT"}`)
	p.send(greetManifest)
	p.closed("invalid", 4400)
}

func TestRevokedKeysCloseTheirSockets(t *testing.T) {
	t.Parallel()
	s := newGuarded(t, api.AuthRequired)
	header, made := s.key("", "things:read")
	p := s.socket(header)
	assert.Equal(t, true, p.ask(`{"id":1,"service":"guarded","request":"READ"}`)["ok"])
	require.NoError(t, keys.NewStore(s.conn).Revoke(s.ctx, made.ID))
	testsupport.Eventually(t, patience, "HTTP refuses the key", func() bool {
		return s.do(http.MethodGet, "/guarded/read", "", header).status == http.StatusUnauthorized
	})
	p.send(`{"id":1,"service":"guarded","request":"READ"}`)
	p.closed("unauthenticated", 4401)
}

// A gateway that has not read the services yet knows no action and no tag: it must not
// tell its clients that there are none.
func TestNoSocketBeforeTheFirstReadOfServices(t *testing.T) {
	t.Parallel()
	url := testsupport.Miniredis(t)
	line := testsupport.StartProxy(t, strings.TrimPrefix(url, "redis://"))
	line.BlackholeReplies(true)
	s := newGateway(t, url, "redis://"+line.Addr())
	testsupport.Eventually(t, patience, "the gateway serves", func() bool {
		return s.do(http.MethodGet, "/healthz", "").status == http.StatusOK
	})
	_, err := s.tryOpen()
	assert.Equal(t, ws.StatusError(http.StatusServiceUnavailable), err)
	line.BlackholeReplies(false)
	line.Cut()
	testsupport.Eventually(t, patience, "a socket opens", func() bool {
		_, err := s.tryOpen()
		return err == nil
	})
}

// Sockets count as connections until they are closed.
func TestSocketsAreConnections(t *testing.T) {
	t.Parallel()
	s := newStage(t, func(c *api.Config) { c.MaxConnections = 4 })
	s.client.CloseIdleConnections()
	var open []*peer
	testsupport.Eventually(t, patience, "all connections are sockets", func() bool {
		p, err := s.tryOpen()
		if err == nil {
			open = append(open, p)
		}
		return len(open) == 4
	})
	_, err := s.tryOpen()
	require.Error(t, err, "one too many")
	require.NoError(t, open[0].conn.Close())
	testsupport.Eventually(t, patience, "there is room again", func() bool {
		_, err := s.tryOpen()
		return err == nil
	})
}
