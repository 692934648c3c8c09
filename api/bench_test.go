package api

import (
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"github.com/oskadev/mailroom/api/edge"
	"github.com/oskadev/mailroom/api/exchange"
	"github.com/oskadev/mailroom/api/route"
	"github.com/oskadev/mailroom/bus/registry"
	"github.com/oskadev/mailroom/bus/wire"
)

const benchEnvelope = `{"ok":true,"result":{"id":1,"name":"Oska","email":"oska@example.com"}}`

// benchEdge is a gateway without a network.
type benchEdge struct {
	server *Server
	table  *route.Table
	app    *fiber.App
}

func newBenchEdge(b *testing.B) *benchEdge {
	b.Helper()
	integer, object := json.RawMessage(`{"type":"integer"}`), json.RawMessage(
		`{"type":"object","properties":{"name":{"type":"string"},"email":{"type":"string"}},"additionalProperties":false}`)
	id := wire.Argument{Name: "id", In: wire.InPath, Schema: integer}
	services := registry.Snapshot{"users": {Name: "users", Manifest: &wire.Manifest{Service: "users", Protocol: 1, Actions: []wire.Action{
		{Name: "LIST_USERS", Routes: []string{"GET /users"}, Safe: true},
		{Name: "COUNT_USERS", Routes: []string{"GET /users/count"}, Safe: true},
		{Name: "GET_USER", Routes: []string{"GET /users/:id"}, Safe: true, Args: []wire.Argument{id}},
		{
			Name: "UPDATE_USER", Routes: []string{"PUT /users/:id", "PATCH /users/:id"},
			Args: []wire.Argument{id, {Name: "user", In: wire.InBody, Schema: object}},
		},
		{Name: "SUSPEND_USER", Routes: []string{"POST /users/:id/suspend"}, Args: []wire.Argument{id}},
	}}}}
	log := slog.New(slog.DiscardHandler)
	router, err := route.New("", nil, nil, log)
	require.NoError(b, err)
	router.Update(services)
	return &benchEdge{server: &Server{responder: responder{log: log, gate: edge.NewGate(edge.GateConfig{})}}, table: router.Table(), app: fiber.New()}
}

// call returns a Fiber context for a request, until the benchmark ends.
func (e *benchEdge) call(b *testing.B, method, uri, body string) *fiber.Ctx {
	b.Helper()
	request := &fasthttp.RequestCtx{}
	request.Request.Header.SetMethod(method)
	request.Request.SetRequestURI(uri)
	if body != "" {
		request.Request.Header.SetContentType("application/json")
		request.Request.SetBodyString(body)
	}
	c := e.app.AcquireCtx(request)
	b.Cleanup(func() { e.app.ReleaseCtx(c) })
	return c
}

func BenchmarkMatch(b *testing.B) {
	e := newBenchEdge(b)
	for _, path := range []string{"/users/count", "/users/1", "/users/1/suspend"} {
		b.Run(path[1:], func(b *testing.B) {
			method := fiber.MethodGet
			if path == "/users/1/suspend" {
				method = fiber.MethodPost
			}
			b.ReportAllocs()
			for b.Loop() {
				segments, ok := exchange.SplitPath(path)
				if r, _, _, _ := e.table.Find(&exchange.Request{Method: method}, segments); !ok || r == nil {
					b.Fatal("no route")
				}
			}
		})
	}
}

// BenchmarkArguments copies a request out of Fiber and binds its arguments.
func BenchmarkArguments(b *testing.B) {
	e := newBenchEdge(b)
	for _, call := range []struct{ name, method, body, want string }{
		{"path", fiber.MethodGet, "", `[1]`},
		{"path and body", fiber.MethodPut, `{"name":"Oska","email":"oska@example.com"}`, `[1,{"name":"Oska","email":"oska@example.com"}]`},
	} {
		b.Run(call.name, func(b *testing.B) {
			c := e.call(b, call.method, "/users/1", call.body)
			segments, _ := exchange.SplitPath("/users/1")
			r, params, _, _ := e.table.Find(&exchange.Request{Method: call.method}, segments)
			b.ReportAllocs()
			for b.Loop() {
				in := exchange.NewRequest(c)
				if args, f := r.Bind(c, &in, params); f != nil || args != call.want {
					b.Fatal(args, f)
				}
			}
		})
	}
}

func BenchmarkRespond(b *testing.B) {
	e := newBenchEdge(b)
	c := e.call(b, fiber.MethodGet, "/users/1", "")
	in := exchange.NewRequest(c)
	r, _, _, _ := e.table.Find(&exchange.Request{Method: fiber.MethodGet}, []string{"users", "1"})
	reply := wire.Reply{Meta: "worker=users.q4n7zj2mx6tbw5ra,attempt=1,queue=1.5,run=0.042", Envelope: benchEnvelope}
	b.ReportAllocs()
	for b.Loop() {
		e.server.responder.respond(c, &in, r, reply)
	}
	if c.Response().StatusCode() != fiber.StatusOK || string(c.Response().Body()) != benchEnvelope {
		b.Fatal(c.Response())
	}
}

func BenchmarkServerTiming(b *testing.B) {
	meta := wire.ReplyMeta{Queue: 1500 * time.Microsecond, Run: 42 * time.Microsecond}
	space := make([]byte, 0, 96)
	b.ReportAllocs()
	for b.Loop() {
		if len(appendServerTiming(space, meta, 3*time.Millisecond)) == 0 {
			b.Fatal("nothing")
		}
	}
}
