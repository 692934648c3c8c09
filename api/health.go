package api

import (
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/oskadev/mailroom/api/exchange"
)

// probed answers the paths of probes, which have no credentials; false: the path is
// none of them.
func (s *Server) probed(c *fiber.Ctx, in *exchange.Request) bool {
	switch strings.TrimSuffix(in.Path, "/") {
	case "/healthz":
		s.health(c, in, nil)
	case "/readyz":
		s.health(c, in, s.unready())
	default:
		return false
	}
	return true
}

// unready says why the gateway cannot serve; nil: it can.
func (s *Server) unready() *exchange.Failure {
	switch {
	case s.gate.Draining():
		return exchange.Unavailable("the gateway is stopping")
	case s.backend.client.Refused() != nil:
		return exchange.Unavailable("Redis refuses this gateway")
	case !s.ready():
		return exchange.Unavailable("Redis is not reachable")
	}
	return nil
}

func (s *Server) health(c *fiber.Ctx, in *exchange.Request, sick *exchange.Failure) {
	switch {
	case in.Method != fiber.MethodGet && in.Method != fiber.MethodHead:
		exchange.RefuseMethod(c, in, exchange.ReadMethods)
	case sick != nil:
		exchange.Refuse(c, in, sick)
	default:
		exchange.WriteEnvelope(c.Response(), fiber.StatusOK, `{"ok":true,"result":{"status":"ok"}}`, in.RequestID)
	}
}
