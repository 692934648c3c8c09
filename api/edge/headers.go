package edge

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/cors"
	"github.com/valyala/fasthttp"

	"github.com/oskadev/mailroom/api/exchange"
)

// strictTransport tells browsers to come by TLS alone from now on, for a year (RFC 6797).
const strictTransport = "max-age=31536000"

// guard adds the headers that keep an answer from being taken for what it is not:
// it is no page, and nobody keeps it unless its action says so.
func (g *Gate) guard(h *fasthttp.RequestHeader, res *fasthttp.Response) {
	exchange.SetHeader(res, fiber.HeaderXContentTypeOptions, "nosniff")
	exchange.SetHeader(res, fiber.HeaderContentSecurityPolicy, "default-src 'none'; frame-ancestors 'none'")
	if len(res.Header.Peek(fiber.HeaderCacheControl)) == 0 {
		exchange.SetHeader(res, fiber.HeaderCacheControl, "no-store")
	}
	// Where the middleware was not reached.
	if len(g.CORS.Origins) > 0 && len(res.Header.Peek(fiber.HeaderVary)) == 0 {
		if origin := h.Peek(fiber.HeaderOrigin); len(origin) > 0 {
			g.CORS.readable(string(origin), res)
		}
	}
	if g.Secure {
		exchange.SetHeader(res, fiber.HeaderStrictTransportSecurity, strictTransport)
	}
}

// CORS lets pages of other origins call (https://fetch.spec.whatwg.org/#http-cors-protocol).
type CORS struct {
	// Origins may call: "https://app.example.com", "https://*.example.com", or "*" for
	// all. Defaults to none.
	Origins []string
	// Credentials lets browsers send cookies and client certificates along; not with
	// "*". API keys and tokens in headers do not need it.
	Credentials bool
	// MaxAge is how long a browser may remember what is allowed. Defaults to 10 min.
	MaxAge time.Duration
}

func (c *CORS) Check() error {
	var errs []error
	for _, origin := range c.Origins {
		if origin == "*" {
			if c.Credentials || len(c.Origins) > 1 {
				errs = append(errs, errors.New(`CORS origin "*" stands alone and without credentials`))
			}
			continue
		}
		u, err := url.Parse(strings.Replace(origin, "://*.", "://", 1))
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.String() != u.Scheme+"://"+u.Host || strings.ContainsAny(origin, ",@ #?") || strings.Contains(u.Host, "*") {
			errs = append(errs, fmt.Errorf("CORS origin %q: want scheme and host, such as https://app.example.com", origin))
		}
	}
	if c.MaxAge < 0 {
		errs = append(errs, fmt.Errorf("CORS max age %v is negative", c.MaxAge))
	}
	if c.Credentials && len(c.Origins) == 0 {
		errs = append(errs, errors.New("CORS credentials without origins"))
	}
	return errors.Join(errs...)
}

// handler answers preflights, and says in other answers which origins may read them.
func (c *CORS) Handler() fiber.Handler {
	answer := c.answer()
	return func(ctx *fiber.Ctx) error {
		if ctx.Method() == fiber.MethodOptions { // which may get no further
			ctx.Set(exchange.HeaderRequestID, exchange.RequestIDOf(&ctx.Request().Header))
		}
		return answer(ctx)
	}
}

func (c *CORS) answer() fiber.Handler {
	return cors.New(cors.Config{
		AllowOrigins:     strings.Join(c.Origins, ","),
		AllowCredentials: c.Credentials,
		AllowMethods:     "GET,HEAD,POST,PUT,PATCH,DELETE",
		AllowHeaders: strings.Join([]string{
			fiber.HeaderAuthorization, "X-API-Key", fiber.HeaderContentType, fiber.HeaderCacheControl, fiber.HeaderIfNoneMatch,
			exchange.HeaderRequestID, exchange.HeaderIdempotencyKey, "Prefer", "Last-Event-ID", "traceparent",
		}, ","),
		ExposeHeaders: exposed(),
		MaxAge:        int(c.MaxAge / time.Second),
	})
}

// exposed lists the headers that pages of other origins may read.
func exposed() string {
	return strings.Join([]string{
		exchange.HeaderRequestID, fiber.HeaderLocation, fiber.HeaderRetryAfter, fiber.HeaderETag, fiber.HeaderAge, exchange.HeaderCacheStatus,
		"Idempotency-Replayed", "Preference-Applied", "Deprecation", "Sunset", exchange.HeaderLimit, exchange.HeaderLimitPolicy, "Server-Timing", fiber.HeaderWWWAuthenticate, fiber.HeaderAllow,
		"Mailroom-Worker", "Mailroom-Attempt",
	}, ",")
}

// readable lets a page of an allowed origin read an answer that was given before its
// call was one: a refusal by the message's size or form.
func (c *CORS) readable(origin string, res *fasthttp.Response) {
	for _, allowed := range c.Origins {
		scheme, domain, wild := strings.Cut(allowed, "://*.")
		under := wild && strings.HasPrefix(origin, scheme+"://") && strings.HasSuffix(origin, "."+domain)
		switch {
		case allowed == "*":
			res.Header.Set(fiber.HeaderAccessControlAllowOrigin, "*")
		case allowed == origin || under:
			res.Header.Set(fiber.HeaderAccessControlAllowOrigin, origin)
			res.Header.Set(fiber.HeaderVary, fiber.HeaderOrigin)
			if c.Credentials {
				res.Header.Set(fiber.HeaderAccessControlAllowCredentials, "true")
			}
		default:
			continue
		}
		res.Header.Set(fiber.HeaderAccessControlExposeHeaders, exposed())
		return
	}
}
