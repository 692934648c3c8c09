package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/api"
	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/examples/echo"
	"github.com/oskadev/mailroom/internal/busctx"
	"github.com/oskadev/mailroom/testsupport"
	"github.com/oskadev/mailroom/workers"
)

// stage is an embedded Redis with a worker of echo.
type stage struct {
	conn   *bus.Conn
	client *caller.Client
}

func newStage(t *testing.T) *stage {
	t.Helper()
	log, _ := testsupport.Logger(t)
	conn, err := bus.Connect(testsupport.Miniredis(t), bus.Options{Logger: log})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	during(t, func(ctx context.Context) error {
		return workers.Run(busctx.With(ctx, conn), workers.Config{Logger: log}, echo.Service(conn.Redis(), "mailroom"))
	})
	client := caller.New(conn, caller.Config{})
	t.Cleanup(client.Close)
	require.NoError(t, client.WaitReady(t.Context()))
	return &stage{conn: conn, client: client}
}

// during runs a function until the test ends.
func during(t *testing.T, run func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-ended)
	})
}

func TestOnTheBus(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for name, call := range map[string]caller.Call{
		"echo GET_ECHO on the bus, safe": {Service: "echo", Action: "GET_ECHO", Args: "[1]", Safe: true},
		"echo ECHO on the bus, unsafe":   {Service: "echo", Action: "ECHO", Args: `[{"x":1}]`},
	} {
		t.Run(call.Action, func(t *testing.T) {
			t.Parallel()
			r := Load{Connections: 4, Duration: 100 * time.Millisecond}.Run(t.Context(), NewBus(s.client, call))
			assert.Positive(t, r.Answered())
			assert.Empty(t, r.Failures)
			assert.Zero(t, r.Bytes%r.Answered(), "each answer is as long")
			assert.Equal(t, name, r.Target)
		})
	}
}

func TestFailuresOnTheBus(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	fail := caller.Call{Service: "echo", Action: "FAIL", Args: `[{"code":"TEAPOT","status":418,"message":"short and stout"}]`}
	a := NewBus(s.client, fail).Connect().Do(t.Context())
	assert.Equal(t, "code TEAPOT", a.Failure)
	assert.Equal(t, "short and stout", a.Detail)
	sleep := caller.Call{Service: "echo", Action: "SLEEP", Args: `[{"ms":600000}]`, Timeout: 20 * time.Millisecond}
	a = NewBus(s.client, sleep).Connect().Do(t.Context())
	assert.Contains(t, []string{"timeout", "code TIMEOUT", "expired"}, a.Failure, "whichever of client and worker is first")
	for want, err := range map[string]error{
		"unavailable": fmt.Errorf("x: %w", caller.ErrUnavailable), "overloaded": &caller.OverloadedError{}, "timeout": caller.ErrTimeout,
		"expired": caller.ErrExpired, "dead": caller.ErrDead, "key reused": caller.ErrKeyReused, "closed": caller.ErrClosed, "error": errors.New("x"),
	} {
		assert.Equal(t, want, failureOf(err))
	}
	kind, _ := failureIn(`{ "ok": true, "result": 1 }`)
	assert.Empty(t, kind)
	kind, _ = failureIn(`<html>`)
	assert.Equal(t, "no envelope", kind)
}

func TestThroughAGateway(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	log, _ := testsupport.Logger(t)
	server, err := api.New(busctx.With(t.Context(), s.conn), api.Config{Logger: log})
	require.NoError(t, err)
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	during(t, func(ctx context.Context) error { return server.Serve(ctx, ln) })
	base := "http://" + ln.Addr().String()
	get := overHTTP(t, HTTPRequest{URL: base + "/echo/1"})
	testsupport.Eventually(t, 15*time.Second, "/echo/1 is served", func() bool {
		c := get.Connect()
		defer c.Close()
		return c.Do(t.Context()).Failure == ""
	})
	const body = `{"ok":true,"result":{"id":1,"name":"Oska","email":"oska@example.com"}}`
	r := Load{Connections: 4, Duration: 100 * time.Millisecond}.Run(t.Context(), get)
	assert.Positive(t, r.Answered())
	assert.Empty(t, r.Failures)
	assert.Equal(t, int64(len(body))*r.Answered(), r.Bytes)

	post := overHTTP(t, HTTPRequest{URL: base + "/echo", Body: `{"x":1}`})
	r = Load{Connections: 4, Rate: 200, Duration: 100 * time.Millisecond}.Run(t.Context(), post)
	assert.Equal(t, int64(20), r.Answered(), r.Failures)

	missing := overHTTP(t, HTTPRequest{URL: base + "/nope", Method: http.MethodDelete})
	r = Load{Connections: 1, Duration: 20 * time.Millisecond}.Run(t.Context(), missing)
	assert.Zero(t, r.Answered())
	require.Len(t, r.Failures, 1)
	assert.Equal(t, "status 404", r.Failures[0].Kind)
	assert.Contains(t, r.Failures[0].First, "NOT_FOUND")
}
