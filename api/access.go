package api

import (
	"context"
	"time"
)

const (
	readyInterval     = 100 * time.Millisecond // between two checks, until the gateway is ready for the first time
	accessLogInterval = time.Minute            // minimum time between two logged access errors
)

// watchAccess handles access errors of Redis until the context ends. A gateway that was
// never ready is misconfigured: the error ends it, by fatal. One that has served stays,
// not ready, and logs the error at most once a minute: its rights may come back, and a new
// process would do no better.
func (s *Server) watchAccess(ctx context.Context, fatal context.CancelCauseFunc) {
	ticker := time.NewTicker(readyInterval)
	defer ticker.Stop()
	var logged time.Time
	for {
		select {
		case <-ticker.C:
			if s.ready() {
				ticker.Stop()
			}
		case err := <-s.backend.conn.Refused():
			if !s.life.served.Load() {
				fatal(err)
				return
			}
			if now := time.Now(); now.Sub(logged) >= accessLogInterval {
				logged = now
				s.cfg.Logger.ErrorContext(ctx, "Redis refuses this gateway", "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}
