package edge

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/cors"
	"github.com/valyala/fasthttp"

	"github.com/oskadev/mailroom/api/exchange"
	"github.com/oskadev/mailroom/bus/wire"
)

// CORS allows pages of other origins to call (https://fetch.spec.whatwg.org/#http-cors-protocol).
type CORS struct {
	// Origins are those allowed: "https://app.example.com", "https://*.example.com", or
	// "*" for all. Defaults to none.
	Origins []string
	// Credentials allows browsers to send cookies and client certificates; not with
	// "*". API keys and tokens in headers do not need it. Defaults to false.
	Credentials bool
	// MaxAge is the time for which a browser may cache a preflight. Defaults to 10 min.
	MaxAge time.Duration
}

// Check returns every fault of the settings, or nil.
func (c *CORS) Check() error {
	var errs []error
	for _, origin := range c.Origins {
		if origin == "*" {
			if c.Credentials || len(c.Origins) > 1 {
				errs = append(errs, errors.New(`CORS origin "*" stands alone, without other origins and without credentials`))
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

// Handler returns a middleware that answers preflights and sets the CORS headers of
// other answers. It answers a preflight that count refuses with this failure.
func (c *CORS) Handler(count func(*fiber.Ctx) *exchange.Failure) fiber.Handler {
	next := c.middleware()
	return func(ctx *fiber.Ctx) error {
		if ctx.Method() != fiber.MethodOptions {
			return next(ctx)
		}
		id := exchange.RequestIDOf(&ctx.Request().Header)
		ctx.Set(exchange.HeaderRequestID, id) // the middleware answers a preflight itself
		if ctx.Get(fiber.HeaderOrigin) != "" && ctx.Get(fiber.HeaderAccessControlRequestMethod) != "" {
			if f := count(ctx); f != nil {
				exchange.WriteFailure(ctx.Response(), f, wire.Error{RequestID: id})
				return nil
			}
		}
		return next(ctx)
	}
}

func (c *CORS) middleware() fiber.Handler {
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

// allow sets the CORS headers of an answer that the middleware did not see: a refusal
// by the size or form of the message.
func (c *CORS) allow(origin string, res *fasthttp.Response) {
	if !c.Allows(origin) {
		return
	}
	if slices.Contains(c.Origins, "*") {
		res.Header.Set(fiber.HeaderAccessControlAllowOrigin, "*")
	} else {
		res.Header.Set(fiber.HeaderAccessControlAllowOrigin, origin)
		res.Header.Set(fiber.HeaderVary, fiber.HeaderOrigin)
		if c.Credentials {
			res.Header.Set(fiber.HeaderAccessControlAllowCredentials, "true")
		}
	}
	res.Header.Set(fiber.HeaderAccessControlExposeHeaders, exposed())
}

// Allows reports whether pages of an origin may call.
func (c *CORS) Allows(origin string) bool {
	return slices.ContainsFunc(c.Origins, func(allowed string) bool {
		scheme, domain, wild := strings.Cut(allowed, "://*.")
		return allowed == "*" || allowed == origin ||
			wild && strings.HasPrefix(origin, scheme+"://") && strings.HasSuffix(origin, "."+domain)
	})
}
