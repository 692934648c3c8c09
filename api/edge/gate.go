package edge

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/oskadev/mailroom/api/exchange"
	"github.com/oskadev/mailroom/bus/wire"
)

// Gate checks the form, size and headers of every HTTP message before it is handled,
// and completes the headers of every answer.
type Gate struct {
	cfg      GateConfig
	rules    sizes
	retired  atomic.Int64 // unix ns when Retire was called; 0: it was not
	draining atomic.Bool
}

// GateConfig configures a Gate. All fields but Sizes, CORS and Secure are required.
type GateConfig struct {
	// BodyLimit is the maximum size of a body, in bytes, on routes without a size rule.
	BodyLimit int
	// HeaderLimit is the limit that the HTTP library enforces, in bytes: for messages.
	HeaderLimit int
	// Sizes are the size rules of single routes. Defaults to none.
	Sizes []SizeRule
	// CORS allows pages of other origins. Defaults to none.
	CORS CORS
	// Secure reports that the gateway serves HTTPS. Defaults to false.
	Secure bool
	// RefuseAnonymous returns a failure when a required credential is missing.
	RefuseAnonymous func(*fasthttp.RequestHeader) *exchange.Failure
	// Probe reports whether a path is that of a probe, which is answered above the limit of
	// connections.
	Probe func(path string) bool
	// Pattern returns the pattern of a route; empty: no route matches.
	Pattern func(method, path string) string
	// Refused is called with the status of a message that is refused before it is handled.
	Refused func(status int)
	// Log receives panics and unexpected errors.
	Log *slog.Logger
}

// NewGate returns a gate.
func NewGate(cfg GateConfig) *Gate { return &Gate{cfg: cfg, rules: newSizes(cfg.Sizes)} }

// Retire makes answers on the connections of before close them, so that clients move to
// another gateway. New connections stay open, or a busy client would open one for each request.
func (g *Gate) Retire() { g.retired.Store(time.Now().UnixNano()) }

// Drain makes every answer from now on close its connection.
func (g *Gate) Drain() { g.draining.Store(true) }

// Stopping reports whether Retire or Drain was called.
func (g *Gate) Stopping() bool { return g.retired.Load() != 0 || g.draining.Load() }

// closes reports whether an answer has to close its connection.
func (g *Gate) closes(ctx *fasthttp.RequestCtx) bool {
	return g.draining.Load() || g.retired.Load() > ctx.ConnTime().UnixNano()
}

// ResponseLimit returns the maximum size of the envelope of a route, in bytes; 0: no limit.
func (g *Gate) ResponseLimit(pattern string) int { return g.rules.response(pattern) }

// Handler returns a handler that passes valid requests to next and refuses the others.
func (g *Gate) Handler(next fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		defer g.recovered(ctx)
		f := refuseHostile(&ctx.Request.Header)
		spare := isSpare(ctx)
		if f == nil && spare && !g.cfg.Probe(string(ctx.Path())) {
			f = exchange.Fail(wire.CodeOverloaded, "all connections of the gateway are in use").After(time.Second)
		}
		if f != nil {
			ctx.Response.SetConnectionClose()
			refuseRest(ctx)
			exchange.WriteFailure(&ctx.Response, f, wire.Error{RequestID: exchange.RequestIDOf(&ctx.Request.Header)})
			g.cfg.Refused(f.Status)
		} else {
			next(ctx)
			if ctx.Hijacked() {
				takeOver(ctx)
			}
			if spare || g.closes(ctx) {
				ctx.Response.SetConnectionClose()
			}
		}
		g.guard(&ctx.Request.Header, &ctx.Response)
	}
}

// recovered answers 500 where the handling of a request panicked.
func (g *Gate) recovered(ctx *fasthttp.RequestCtx) {
	if p := recover(); p != nil {
		g.cfg.Log.Error("a request panicked", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		ctx.Response.Reset()
		f := exchange.Fail(wire.CodeInternal, "internal error")
		f.Close = true
		exchange.WriteFailure(&ctx.Response, f, wire.Error{RequestID: exchange.RequestIDOf(&ctx.Request.Header)})
		g.cfg.Refused(f.Status)
		g.guard(&ctx.Request.Header, &ctx.Response)
	}
}

// Expect answers Expect: 100-continue: whether the client may send its body
// (https://www.rfc-editor.org/rfc/rfc9110#section-10.1.1).
func (g *Gate) Expect(ctx *fasthttp.RequestCtx) int {
	h := &ctx.Request.Header
	f := g.refuseBody(h)
	if limit := g.bodyLimitOf(h); f == nil {
		if h.ContentLength() <= limit {
			return fasthttp.StatusContinue
		}
		f = tooLarge(limit)
	}
	refuseRest(ctx)
	exchange.WriteFailure(&ctx.Response, f, wire.Error{RequestID: exchange.RequestIDOf(h)})
	g.cfg.Refused(f.Status)
	g.guard(h, &ctx.Response)
	return f.Status
}

// HeaderReceived returns the body limit of a request whose headers have been read. A
// request that will be refused anyway gets a limit that fails at once: see OnError.
func (g *Gate) HeaderReceived(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
	if g.refuseBody(h) != nil {
		return fasthttp.RequestConfig{MaxRequestBodySize: 1}
	}
	return fasthttp.RequestConfig{MaxRequestBodySize: g.bodyLimitOf(h)}
}

// refuseBody refuses a request with a body by its headers alone: it is hostile, or
// lacks a required credential. It passes chunked bodies: when they fail, the HTTP
// library forgets the headers.
func (g *Gate) refuseBody(h *fasthttp.RequestHeader) *exchange.Failure {
	if h.ContentLength() <= 0 {
		return nil
	}
	if f := refuseHostile(h); f != nil {
		return f
	}
	return g.cfg.RefuseAnonymous(h)
}

// bodyLimitOf returns the maximum size of the body of a request, in bytes.
func (g *Gate) bodyLimitOf(h *fasthttp.RequestHeader) int {
	if len(g.rules) == 0 {
		return g.cfg.BodyLimit
	}
	uri := fasthttp.AcquireURI() // parsed as Fiber does: a path, or a whole URI
	defer fasthttp.ReleaseURI(uri)
	if uri.Parse(h.Host(), h.RequestURI()) != nil {
		return g.cfg.BodyLimit
	}
	if own := g.rules.request(g.cfg.Pattern(string(h.Method()), string(uri.PathOriginal()))); own > 0 {
		return own
	}
	return g.cfg.BodyLimit
}

func tooLarge(limit int) *exchange.Failure {
	f := exchange.Fail(wire.CodePayloadTooLarge, "the body is over "+strconv.Itoa(limit)+" bytes")
	f.Close = true
	return f
}

// OnError answers a message that the HTTP library refuses.
func (g *Gate) OnError(c *fiber.Ctx, err error) error {
	f := exchange.Fail(wire.CodeInternal, "internal error")
	if refused, ok := errors.AsType[*fiber.Error](err); ok {
		switch refused.Code {
		case http.StatusRequestHeaderFieldsTooLarge:
			f = exchange.Fail(wire.CodeHeadersTooLarge, "the headers are over "+strconv.Itoa(g.cfg.HeaderLimit)+" bytes")
		case http.StatusRequestEntityTooLarge:
			if f = g.refuseBody(&c.Request().Header); f == nil {
				f = tooLarge(g.bodyLimitOf(&c.Request().Header))
			}
		case http.StatusRequestTimeout, http.StatusBadGateway:
			f = exchange.Fail(wire.CodeRequestTimeout, "the request came too slowly")
		case http.StatusMethodNotAllowed:
			f = exchange.Fail(wire.CodeMethodNotAllowed, "this method is not served")
		case http.StatusBadRequest:
			f = exchange.Fail(wire.CodeBadRequest, cmp.Or(faultOf(c.Context()), "not a valid HTTP request"))
			if f.Message == twoCredentials {
				f.Challenge = `Bearer realm="mailroom", error="invalid_request"` // RFC 6750, section 3.1
			}
		}
		f.Close = true
		refuseRest(c.Context())
	} else {
		g.cfg.Log.Error("a request failed at the edge", "error", err)
	}
	exchange.WriteFailure(c.Response(), f, wire.Error{RequestID: exchange.RequestIDOf(&c.Request().Header)})
	g.cfg.Refused(f.Status)
	g.guard(&c.Request().Header, c.Response())
	return nil
}
