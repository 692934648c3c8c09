package api

import (
	"net/http"

	"github.com/oskadev/mailroom/internal/metrics"
	"github.com/oskadev/mailroom/internal/ops"
)

// isOps reports whether a path is one of the operator's pages.
func isOps(path string) bool { return path == "/metrics" }

// Ops returns the pages of the operator: /metrics, /healthz and /readyz. They ask for no
// credential: serve them on an address that only operators reach.
func (s *Server) Ops() http.Handler {
	mux := ops.Handler(func() error {
		if f := s.unready(); f != nil {
			return f.Error
		}
		return nil
	})
	mux.Handle("GET /metrics", metrics.Handler(s.metrics.Registry))
	return mux
}
