package api

import (
	"strings"

	"github.com/gofiber/fiber/v2"
)

// probed answers the paths of probes, which have no credentials; false: the path is
// none of them.
func (s *Server) probed(c *fiber.Ctx, in *call) bool {
	switch strings.TrimSuffix(in.path, "/") {
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
func (s *Server) unready() *failure {
	switch {
	case s.gate.Draining():
		return unavailable("the gateway is stopping")
	case s.backend.client.Refused() != nil:
		return unavailable("Redis refuses this gateway")
	case !s.ready():
		return unavailable("Redis is not reachable")
	}
	return nil
}

func (s *Server) health(c *fiber.Ctx, in *call, sick *failure) {
	switch {
	case in.method != fiber.MethodGet && in.method != fiber.MethodHead:
		only(c, in, ownMethods)
	case sick != nil:
		refuse(c, in, sick)
	default:
		writeEnvelope(c.Response(), fiber.StatusOK, `{"ok":true,"result":{"status":"ok"}}`, in.requestID)
	}
}
