package api

import (
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/oskadev/mailroom/api/exchange"
)

// isProbe reports whether a path is that of a probe.
func isProbe(path string) bool {
	path = strings.TrimSuffix(path, "/")
	return path == "/healthz" || path == "/readyz"
}

// serveProbe answers /healthz and /readyz, which need no credential; false: the path is
// another one.
func (s *Server) serveProbe(c *fiber.Ctx, in *exchange.Request) bool {
	switch strings.TrimSuffix(in.Path, "/") {
	case "/healthz":
		writeHealth(c, in, nil)
	case "/readyz":
		writeHealth(c, in, s.unready())
	default:
		return false
	}
	return true
}

// unready returns why the gateway cannot serve; nil: it can.
func (s *Server) unready() *exchange.Failure {
	switch {
	case s.gate.Stopping():
		return exchange.Unavailable("the gateway is stopping")
	case s.backend.client.Refused() != nil:
		return exchange.Unavailable("Redis refuses this gateway")
	case !s.ready():
		return exchange.Unavailable("Redis is not reachable")
	}
	return nil
}

// writeHealth answers a probe; sick: why it fails.
func writeHealth(c *fiber.Ctx, in *exchange.Request, sick *exchange.Failure) {
	switch {
	case in.Method != fiber.MethodGet && in.Method != fiber.MethodHead:
		exchange.RefuseMethod(c, in, exchange.ReadMethods)
	case sick != nil:
		exchange.Refuse(c, in, sick)
	default:
		exchange.WriteEnvelope(c.Response(), fiber.StatusOK, `{"ok":true,"result":{"status":"ok"}}`, in.RequestID)
	}
}
