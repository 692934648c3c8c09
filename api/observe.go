package api

import (
	"context"
	"strings"
	"time"

	"github.com/oskadev/mailroom/api/compose"
	"github.com/oskadev/mailroom/api/exchange"
	"github.com/oskadev/mailroom/api/metrics"
	"github.com/oskadev/mailroom/bus/admin"
	"github.com/oskadev/mailroom/bus/wire"
)

// ended records a request that was answered with a status.
func (s *Server) ended(ctx context.Context, in *exchange.Request, status int) {
	in.Outcome.Status, in.Outcome.Total = status, time.Since(in.Began)
	s.metrics.Ended(in)
	s.recent.Add(in)
	s.access.ended(ctx, in)
	s.spans.ended(in)
}

// stepEnded records a step of a composition.
func (s *Server) stepEnded(a *compose.StepAnswer) {
	s.metrics.Step(&metrics.Step{
		Composition: a.Composition, Name: a.Step.Name, Service: a.Step.Service, Action: a.Step.Action,
		Status: a.Status, Queue: a.Queue, Run: a.Run, Total: a.Took,
	})
}

// state reads what the gauges show.
func (s *Server) state(ctx context.Context) metrics.State {
	clients, workers := s.sockets.Open()
	return metrics.State{
		Mailboxes: s.mailboxes(ctx),
		InFlight:  s.inFlight(),
		RedisUp:   s.backend.client.Ready(),
		Evicts:    s.backend.client.Evicts(),
		Sockets:   map[string]int{"client": clients, "worker": workers},
		Redis:     s.backend.client.Health(),
	}
}

// mailboxes reads the mailboxes of all known services; nil: Redis did not answer.
func (s *Server) mailboxes(ctx context.Context) []metrics.Mailbox {
	services := s.router.Services()
	names := make([]string, 0, len(services)+1)
	for name := range services {
		names = append(names, name)
	}
	if s.router.Composed() {
		names = append(names, wire.ReservedService)
	}
	stats, err := admin.ReadAllStats(ctx, s.backend.conn, names)
	if err != nil {
		s.cfg.Logger.WarnContext(ctx, "the mailboxes cannot be read for the metrics", "error", err)
		return nil
	}
	all := make([]metrics.Mailbox, len(names))
	for i, name := range names {
		all[i] = metrics.Mailbox{Service: name, Stats: stats[i]}
		if service := services[name]; service != nil {
			all[i].Workers = len(service.Workers)
		}
	}
	return all
}

// inFlight returns the calls in flight by service. Those of compositions count under
// their reserved name.
func (s *Server) inFlight() map[string]int64 {
	all := make(map[string]int64)
	s.backend.limit.Each(func(place string, n int64) {
		if strings.Contains(place, " ") { // the name of a composition
			place = wire.ReservedService
		}
		all[place] += n
	})
	return all
}
