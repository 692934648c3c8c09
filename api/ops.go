package api

import (
	"net/http"
	"strings"

	"github.com/oskadev/mailroom/api/console"
	"github.com/oskadev/mailroom/internal/metrics"
	"github.com/oskadev/mailroom/internal/ops"
)

// isOps reports whether a path is one of the operator's pages that this gateway serves.
func (s *Server) isOps(path string) bool {
	return path == "/metrics" && s.cfg.OwnOps || path == "/console" || strings.HasPrefix(path, console.Path)
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
