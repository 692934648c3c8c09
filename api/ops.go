package api

import (
	"net/http"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/oskadev/mailroom/api/console"
	"github.com/oskadev/mailroom/api/exchange"
	"github.com/oskadev/mailroom/internal/metrics"
	"github.com/oskadev/mailroom/internal/ops"
)

// isOps reports whether a path is one of the operator's pages that this gateway serves.
func (s *Server) isOps(path string) bool {
	return s.ops != nil && (path == "/metrics" && s.cfg.OwnOps || path == "/console" || strings.HasPrefix(path, console.Path))
}

// mayOperate reports whether a request may see the operator's pages on the gateway. Open
// ones are for this machine alone, under a name of its own.
func (s *Server) mayOperate(c *fiber.Ctx) bool {
	return !s.cfg.OwnOps || c.Context().RemoteIP().IsLoopback() && console.IsLoopback(string(c.Request().Host()))
}

// refuseAnonymous refuses a message with a body that lacks a required credential. The
// console asks for its own.
func (s *Server) refuseAnonymous(h *fasthttp.RequestHeader) *exchange.Failure {
	path, _, _ := strings.Cut(string(h.RequestURI()), "?")
	if s.isOps(path) {
		return nil
	}
	return s.auth.RefuseAnonymous(h)
}

// Ops returns the pages of the operator: /metrics, /healthz, /readyz, which ask for no
// credential, and /console. Serve them on an address that only operators reach.
func (s *Server) Ops() http.Handler {
	mux := ops.Handler(func() error {
		if f := s.unready(); f != nil {
			return f.Error
		}
		return nil
	})
	mux.Handle("GET /metrics", metrics.Handler(s.metrics.Registry))
	mux.Handle("/console", s.console)
	mux.Handle(console.Path, s.console)
	return mux
}
