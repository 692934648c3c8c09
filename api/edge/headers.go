package edge

import (
	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/oskadev/mailroom/api/exchange"
)

// strictTransport makes browsers use TLS alone for a year (RFC 6797).
const strictTransport = "max-age=31536000"

// guard sets the security headers of an answer: browsers must not treat it as a page, unless
// it is one and has a policy of its own, and nobody may store it unless its action allows
// that.
func (g *Gate) guard(h *fasthttp.RequestHeader, res *fasthttp.Response) {
	exchange.SetHeader(res, fiber.HeaderXContentTypeOptions, "nosniff")
	if len(res.Header.Peek(fiber.HeaderContentSecurityPolicy)) == 0 {
		exchange.SetHeader(res, fiber.HeaderContentSecurityPolicy, "default-src 'none'; frame-ancestors 'none'")
	}
	if len(res.Header.Peek(fiber.HeaderCacheControl)) == 0 {
		exchange.SetHeader(res, fiber.HeaderCacheControl, "no-store")
	}
	// The middleware did not see an answer that the gate gave.
	if len(g.cfg.CORS.Origins) > 0 && len(res.Header.Peek(fiber.HeaderVary)) == 0 {
		if origin := h.Peek(fiber.HeaderOrigin); len(origin) > 0 {
			g.cfg.CORS.allow(string(origin), res)
		}
	}
	if g.cfg.Secure {
		exchange.SetHeader(res, fiber.HeaderStrictTransportSecurity, strictTransport)
	}
}
