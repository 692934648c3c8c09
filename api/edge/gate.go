package edge

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync/atomic"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/oskadev/mailroom/api/exchange"
	"github.com/oskadev/mailroom/bus/wire"
)

// gate is what every HTTP message passes before it is a call: form, size, headers.
type Gate struct {
	GateConfig
	rules    sizes
	draining atomic.Bool
}

// GateConfig of a Gate. All are required, but Sizes and CORS.
type GateConfig struct {
	// BodyLimit is the largest body, in bytes, unless a rule of its route says
	// otherwise.
	BodyLimit int
	// HeaderLimit is what the HTTP library was told; it is only for messages.
	HeaderLimit int
	Sizes       []SizeRule
	CORS        CORS
	// Secure says that the gateway serves HTTPS.
	Secure bool
	// Anonymous refuses a request by its headers when it lacks a credential that is
	// required.
	Anonymous func(*fasthttp.RequestHeader) *exchange.Failure
	// Pattern finds the pattern of a route; empty: there is none.
	Pattern func(method, path string) string
	Log     *slog.Logger
}

// NewGate returns a gate.
func NewGate(cfg GateConfig) *Gate { return &Gate{GateConfig: cfg, rules: newSizes(cfg.Sizes)} }

// Drain has every answer close its connection from now on.
func (g *Gate) Drain() { g.draining.Store(true) }

// Draining reports whether Drain was called.
func (g *Gate) Draining() bool { return g.draining.Load() }

// ResponseLimit is the largest envelope of a route, in bytes; 0: there is no limit.
func (g *Gate) ResponseLimit(pattern string) int { return g.rules.response(pattern) }

// handler lets a request through to next, unless no honest client sends it.
func (g *Gate) Handler(next fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		defer g.recovered(ctx)
		if f := refuseHostile(&ctx.Request.Header); f != nil {
			ctx.Response.SetConnectionClose()
			refuseRest(ctx)
			exchange.WriteFailure(&ctx.Response, f, wire.Error{RequestID: exchange.RequestIDOf(&ctx.Request.Header)})
		} else {
			next(ctx)
			if g.draining.Load() {
				ctx.Response.SetConnectionClose()
			}
		}
		g.guard(&ctx.Request.Header, &ctx.Response)
	}
}

// recovered answers a call whose handling panicked. No other call is affected.
func (g *Gate) recovered(ctx *fasthttp.RequestCtx) {
	if p := recover(); p != nil {
		g.Log.Error("a call panicked", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		ctx.Response.Reset()
		f := exchange.Fail(wire.CodeInternal, "internal error")
		f.Close = true
		exchange.WriteFailure(&ctx.Response, f, wire.Error{RequestID: exchange.RequestIDOf(&ctx.Request.Header)})
		g.guard(&ctx.Request.Header, &ctx.Response)
	}
}

// expect answers a client that asks before it sends a body
// (https://www.rfc-editor.org/rfc/rfc9110#section-10.1.1).
func (g *Gate) Expect(ctx *fasthttp.RequestCtx) int {
	h := &ctx.Request.Header
	f := g.bodiless(h)
	if limit := g.bodyLimitOf(h); f == nil {
		if h.ContentLength() <= limit {
			return fasthttp.StatusContinue
		}
		f = tooLarge(limit)
	}
	refuseRest(ctx)
	exchange.WriteFailure(&ctx.Response, f, wire.Error{RequestID: exchange.RequestIDOf(h)})
	g.guard(h, &ctx.Response)
	return f.Status
}

// headerReceived is called when the headers of a request have been read, before its
// body. The body of a request that will be refused anyway is not read: see onError.
func (g *Gate) HeaderReceived(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
	if g.bodiless(h) != nil {
		return fasthttp.RequestConfig{MaxRequestBodySize: 1}
	}
	return fasthttp.RequestConfig{MaxRequestBodySize: g.bodyLimitOf(h)}
}

// bodiless refuses a request with a body by its headers alone: it is hostile, or
// lacks a credential where one is required. It says nothing about chunked bodies:
// when they fail, the HTTP library forgets the headers.
func (g *Gate) bodiless(h *fasthttp.RequestHeader) *exchange.Failure {
	if h.ContentLength() <= 0 {
		return nil
	}
	if f := refuseHostile(h); f != nil {
		return f
	}
	return g.Anonymous(h)
}

// bodyLimitOf is the largest body of a request, in bytes.
func (g *Gate) bodyLimitOf(h *fasthttp.RequestHeader) int {
	if len(g.rules) == 0 {
		return g.BodyLimit
	}
	uri := fasthttp.AcquireURI() // parsed as the call itself is later: a path, or a whole URI
	defer fasthttp.ReleaseURI(uri)
	if uri.Parse(h.Host(), h.RequestURI()) != nil {
		return g.BodyLimit
	}
	if own := g.rules.request(g.Pattern(string(h.Method()), string(uri.PathOriginal()))); own > 0 {
		return own
	}
	return g.BodyLimit
}

func tooLarge(limit int) *exchange.Failure {
	f := exchange.Fail(wire.CodePayloadTooLarge, "the body is over "+strconv.Itoa(limit)+" bytes")
	f.Close = true
	return f
}

// onError answers what the HTTP library refuses before there is a call.
func (g *Gate) OnError(c *fiber.Ctx, err error) error {
	f := exchange.Fail(wire.CodeInternal, "internal error")
	if refused, ok := errors.AsType[*fiber.Error](err); ok {
		switch refused.Code {
		case http.StatusRequestHeaderFieldsTooLarge:
			f = exchange.Fail(wire.CodeHeadersTooLarge, "the headers are over "+strconv.Itoa(g.HeaderLimit)+" bytes")
		case http.StatusRequestEntityTooLarge:
			if f = g.bodiless(&c.Request().Header); f == nil {
				f = tooLarge(g.bodyLimitOf(&c.Request().Header))
			}
		case http.StatusRequestTimeout, http.StatusBadGateway:
			f = exchange.Fail(wire.CodeRequestTimeout, "the request came too slowly")
		case http.StatusMethodNotAllowed:
			f = exchange.Fail(wire.CodeMethodNotAllowed, "this method is not served")
		case http.StatusBadRequest:
			f = exchange.Fail(wire.CodeBadRequest, "not a valid HTTP request")
		}
		f.Close = true
		refuseRest(c.Context())
	} else {
		g.Log.Error("a call failed at the edge", "error", err)
	}
	exchange.WriteFailure(c.Response(), f, wire.Error{RequestID: exchange.RequestIDOf(&c.Request().Header)})
	g.guard(&c.Request().Header, c.Response())
	return nil
}
