package api

import (
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/oskadev/mailroom/bus/wire"
)

// ownMethods are those of the gateway's own paths.
const ownMethods = "GET, HEAD, OPTIONS"

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

// own answers the gateway's other own paths; false: the path is none of them.
func (s *Server) own(c *fiber.Ctx, in *call) bool {
	name, found := strings.CutPrefix(strings.TrimSuffix(in.path, "/"), "/requests/")
	if found {
		s.request(c, in, name)
	}
	return found
}

// unready says why the gateway cannot serve; nil: it can.
func (s *Server) unready() *failure {
	switch {
	case s.draining.Load():
		return unavailable("the gateway is stopping")
	case s.client.Refused() != nil:
		return unavailable("Redis refuses this gateway")
	case !s.ready():
		return unavailable("Redis is not reachable")
	}
	return nil
}

func (s *Server) health(c *fiber.Ctx, in *call, sick *failure) {
	switch {
	case in.method != fiber.MethodGet && in.method != fiber.MethodHead:
		s.onlyGet(c, in)
	case sick != nil:
		s.refuse(c, in, nil, sick)
	default:
		writeEnvelope(c.Response(), fiber.StatusOK, `{"ok":true,"result":{"status":"ok"}}`, in.requestID)
	}
}

// onlyGet answers any other method than GET and HEAD.
func (s *Server) onlyGet(c *fiber.Ctx, in *call) { s.only(c, in, ownMethods) }

// only answers a method that is none of those that a path of the gateway's has.
func (s *Server) only(c *fiber.Ctx, in *call, methods string) {
	if in.method == fiber.MethodOptions {
		writeAllow(c.Response(), methods, in.requestID)
		return
	}
	f := fail(wire.CodeMethodNotAllowed, in.method+" is not served here")
	f.allow = methods
	s.refuse(c, in, nil, f)
}
