package api_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/api"
	"github.com/oskadev/mailroom/bus/admin"
	"github.com/oskadev/mailroom/testsupport"
	"github.com/oskadev/mailroom/workers"
)

// A secret in any part of a request appears in no answer, no log line, and nothing in
// Redis, dead letters included.
func TestSecretsAppearNowhere(t *testing.T) {
	t.Parallel()
	ed := newIssuer(t)
	s := newGuarded(t, api.AuthRequired, ed.accepted)
	good, made := s.key("", "things:read", "things:write")
	secret := good[strings.LastIndex(good, "_")+1:]
	token := strings.TrimPrefix(ed.header(t, jwt.MapClaims{"scope": "things:write"}), "Authorization: Bearer ")
	signature := token[strings.LastIndex(token, ".")+1:]
	const canary = "canary-5f0c"
	var answers strings.Builder
	record := func(a *answer) {
		fmt.Fprintln(&answers, a.status, a.header, a.body)
	}

	// In the headers of credentials, which are not valid.
	badKey := "mk_abcdefghijklmnop_" + strings.Repeat("canary5f", 4)
	parts := strings.Split(token, ".")
	for _, header := range []string{
		"Authorization: Bearer " + canary, "Authorization: Bearer mk_" + canary, "Authorization: Basic " + canary, "Authorization: " + canary,
		"X-API-Key: " + canary, "X-API-Key: mk_" + canary, "Authorization: Bearer " + badKey,
		"Authorization: Bearer " + parts[0] + "." + parts[1] + "." + canary, "Authorization: Bearer " + canary + "." + parts[1] + "." + parts[2],
		"Authorization: Bearer " + strings.Repeat(canary, 1000), "Authorization: Bearer " + ed.header(t, jwt.MapClaims{"aud": canary, "sub": canary}),
	} {
		a := s.do(http.MethodGet, "/guarded/read", "", header)
		assert.Equal(t, http.StatusUnauthorized, a.status)
		record(a)
		record(s.do(http.MethodGet, "/nope", "", header))
	}
	r := s.request(http.MethodGet, "/guarded/read", "", good)
	r.Header.Add("X-Api-Key", canary)
	a, err := s.send(r)
	require.NoError(t, err)
	record(a)
	// In a message that is not valid HTTP.
	for _, raw := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\nAuthorization : Bearer " + canary + "\r\n\r\n", "GET / HTTP/1.1\r\nAuthorization\r\n " + canary + "\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + canary + "\x00\r\n\r\n", "BAD " + canary + "\r\n\r\n",
	} {
		conn, err := new(net.Dialer).DialContext(s.ctx, "tcp", s.addr)
		require.NoError(t, err)
		_, err = io.WriteString(conn, raw)
		require.NoError(t, err)
		text, _ := io.ReadAll(bufio.NewReader(io.LimitReader(conn, 300)))
		_ = conn.Close()
		answers.Write(text)
	}
	// Valid credentials, of calls that end in every way.
	log, logs := testsupport.Logger(t)
	s.workWith(workers.Config{Logger: log}, failing())
	testsupport.Eventually(t, patience, "it is served", func() bool {
		return s.do(http.MethodGet, "/failing/ready", "", good).status == http.StatusOK
	})
	for _, header := range []string{good, "Authorization: Bearer " + token, "X-API-Key: " + strings.TrimPrefix(good, "Authorization: Bearer ")} {
		for _, path := range []string{"/failing/panic", "/failing/error", "/failing/never", "/failing/nothing", "/guarded/touch"} {
			record(s.do(http.MethodPost, path, "", header))
		}
		record(s.do(http.MethodPost, "/guarded", "{", header))
		record(s.do(http.MethodPost, "/guarded/touch", "", header, "Idempotency-Key: k", "Prefer: respond-async"))
		record(s.do(http.MethodGet, "/guarded/both", "", header))
	}
	letters, err := admin.DeadLetters(s.ctx, s.conn, "failing", "", 10)
	require.NoError(t, err)
	require.Len(t, letters, 3, "otherwise the test shows nothing of dead letters")

	dump := s.dump()
	assert.Contains(t, dump, made.ID, "otherwise the test shows nothing of Redis")
	assert.Contains(t, logs.String(), "handler panicked", "otherwise the test shows nothing of logs")
	for place, text := range map[string]string{"answers": answers.String(), "logs": s.logs.String(), "workers' logs": logs.String(), "Redis": dump} {
		for what, found := range map[string]string{"canary": canary, "bad key": badKey, "bad key's secret": badKey[20:], "key": secret, "token": signature} {
			assert.NotContains(t, text, found, "%s in %s", what, place)
		}
	}
}

// failing is a service whose requests fail, each in another way.
func failing() *workers.Service {
	failing := workers.NewService("failing")
	workers.Handle0(failing, "READY", func(context.Context) (int, error) { return 1, nil }, workers.Route("GET /failing/ready"))
	workers.Handle0(failing, "PANIC", func(ctx context.Context) (int, error) {
		panic(fmt.Sprintf("%+v", workers.InfoFrom(ctx))) //nolint:forbidigo // the test needs a panic
	}, workers.Route("POST /failing/panic"))
	workers.Handle0(failing, "ERROR", func(ctx context.Context) (int, error) {
		return 0, fmt.Errorf("%+v", workers.PrincipalFrom(ctx)) //nolint:err113 // its text holds all request data
	}, workers.Route("POST /failing/error"))
	workers.Handle0(failing, "NEVER", func(ctx context.Context) (int, error) {
		return 0, workers.NoOutcome(fmt.Errorf("%+v", workers.InfoFrom(ctx))) //nolint:err113 // its text holds all request data
	}, workers.Route("POST /failing/never"))
	return failing
}

// dump returns all keys and values in Redis.
func (s *stage) dump() string {
	s.t.Helper()
	var all strings.Builder
	rdb := s.conn.Redis()
	names, err := rdb.Keys(s.ctx, "*").Result()
	require.NoError(s.t, err)
	for _, name := range names {
		kind, err := rdb.Type(s.ctx, name).Result()
		require.NoError(s.t, err)
		fmt.Fprintln(&all, name, kind)
		switch kind {
		case "string":
			fmt.Fprintln(&all, rdb.Get(s.ctx, name).Val())
		case "hash":
			fmt.Fprintln(&all, rdb.HGetAll(s.ctx, name).Val())
		case "stream":
			fmt.Fprintln(&all, rdb.XRange(s.ctx, name, "-", "+").Val())
		case "set":
			fmt.Fprintln(&all, rdb.SMembers(s.ctx, name).Val())
		case "zset":
			fmt.Fprintln(&all, rdb.ZRange(s.ctx, name, 0, -1).Val())
		default:
			s.t.Errorf("%s is a %s", name, kind)
		}
	}
	return all.String()
}
