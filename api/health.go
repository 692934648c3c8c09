package api

import (
	"encoding/json"
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
		writeHealth(c, in, s.unready(), s.warnings()...)
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

// warnings returns what limits a gateway that can serve.
func (s *Server) warnings() []string {
	if s.backend.client.Evicts() {
		return []string{"Redis may evict requests when its memory is full, so unsafe ones are refused: set maxmemory-policy to noeviction"}
	}
	return nil
}

// writeHealth answers a probe; sick: why it fails.
func writeHealth(c *fiber.Ctx, in *exchange.Request, sick *exchange.Failure, warnings ...string) {
	switch {
	case in.Method != fiber.MethodGet && in.Method != fiber.MethodHead:
		exchange.RefuseMethod(c, in, exchange.ReadMethods)
	case sick != nil:
		exchange.Refuse(c, in, sick)
	case len(warnings) > 0:
		list, _ := json.Marshal(warnings) // of texts
		exchange.WriteEnvelope(c.Response(), fiber.StatusOK, `{"ok":true,"result":{"status":"ok","warnings":`+string(list)+`}}`, in.RequestID)
	default:
		exchange.WriteEnvelope(c.Response(), fiber.StatusOK, `{"ok":true,"result":{"status":"ok"}}`, in.RequestID)
	}
}
