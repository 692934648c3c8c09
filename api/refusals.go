package api

import (
	"context"
	"time"
)

// Times around refusals.
const (
	readyLook     = 100 * time.Millisecond // how often it is looked whether the gateway is ready for the first time
	refusalsApart = time.Minute            // how seldom a refusal is logged
)

// watchRefusals handles what Redis refuses the gateway, until the context ends.
// One that has never been ready was set up wrongly: that ends it. One that has
// been serving stays, not ready, with a line in the log now and then: what was
// taken from it may be given back, and there is nothing that a new process
// could do better.
func (s *Server) watchRefusals(ctx context.Context, ends chan<- error) {
	ticker := time.NewTicker(readyLook)
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
				ends <- err
				return
			}
			if now := time.Now(); now.Sub(logged) >= refusalsApart {
				logged = now
				s.log.ErrorContext(ctx, "Redis refuses this gateway", "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}
