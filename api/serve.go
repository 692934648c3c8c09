package api

import (
	"context"
	"errors"

	"github.com/gofiber/fiber/v2"

	"github.com/oskadev/mailroom/api/exchange"
	"github.com/oskadev/mailroom/api/route"
	"github.com/oskadev/mailroom/api/tickets"
	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/wire"
	calls "github.com/oskadev/mailroom/internal/call"
)

// serve calls the action of a route and writes the answer.
func (s *Server) serve(ctx context.Context, c *fiber.Ctx, in *exchange.Request, r *route.Route, args string) *exchange.Failure {
	if r.Plan != nil && r.Action.Safe {
		return s.serveRead(c, in, r, args) //nolint:contextcheck // its deadline ends it
	}
	request, plan, f := s.newCall(ctx, in, r, args)
	if f != nil {
		return f
	}
	var prefs cachePreferences
	if r.Caching != nil {
		prefs = cachePreferencesOf(c, in)
		prefs.limitTo(func() bool { return s.bypasses.Take(s.quotas.Caller(c, in)) })
		request.Cached = prefs.cached()
	}
	var prefer tickets.Preference
	if !r.Action.Safe {
		if prefer, f = s.tickets.Prepare(c, in, &request); f != nil {
			return f
		}
	}
	request.ID, request.Meta = in.ID, in.EncodeMeta(plan.hash, plan.began)
	if prefer.Given() && prefer.Wait == 0 {
		return s.accept(ctx, c, in, r, &request, prefer)
	}
	answer, err := s.backend.caller.Do(context.Background(), &request) //nolint:contextcheck // its timeout or the close of the client ends it
	switch {
	case err != nil && prefer.Given() && isLate(err):
		return s.ticketInstead(ctx, c, in, r, prefer)
	case err != nil:
		return s.responder.unanswered(c, in, r, &request, err)
	case answer.Shared != nil:
		s.responder.writeShared(c, in, r, &answer, prefs)
		return nil
	}
	if r.Caching != nil {
		exchange.SetHeader(c.Response(), exchange.HeaderCacheStatus, "mailroom; fwd=bypass; detail=no-store")
	}
	if err := s.responder.fits(in, r, answer.Envelope); err != nil {
		return s.responder.explain(in, r, err)
	}
	s.responder.respond(c, in, r, answer.Reply)
	return nil
}

// planned is the plan of a composition in the meta of its request.
type planned struct {
	hash  string
	began int64 // unix ms of Redis
}

// newCall returns the call of a route's action, without its ID and meta.
func (s *Server) newCall(ctx context.Context, in *exchange.Request, r *route.Route, args string) (request calls.Call, plan planned, f *exchange.Failure) {
	request = calls.Call{
		Call:     caller.Call{Service: r.Service, Action: r.Action.Name, Args: args, Principal: in.Principal},
		Declared: r.Action,
	}
	if r.Plan == nil {
		return request, plan, nil
	}
	if err := s.composer.Keep(ctx, r.Plan); err != nil {
		s.cfg.Logger.With(in.LogIDs()).Debug("a plan could not be stored", "composition", r.Action.Name, "error", err)
		return request, plan, exchange.Unavailable("Redis is not reachable")
	}
	request.Wait, request.Place = true, r.Plan.Name() // the gateways run it
	return request, planned{r.Plan.Hash(), s.backend.conn.Clock.Millis()}, nil
}

// serveRead runs a composition that only reads and writes the answer.
func (s *Server) serveRead(c *fiber.Ctx, in *exchange.Request, r *route.Route, args string) *exchange.Failure {
	reply, meta, err := s.composer.Read(in, r, args)
	if err == nil {
		err = s.responder.fits(in, r, reply.Envelope)
	}
	if err != nil {
		return s.responder.explain(in, r, err)
	}
	s.responder.respondWith(c, in, r, reply, meta)
	return nil
}

// isLate reports whether the outcome of a request may still come.
func isLate(err error) bool {
	return errors.Is(err, caller.ErrTimeout) && !errors.Is(err, caller.ErrNotReplicated) || errors.Is(err, caller.ErrExpired)
}

// accept sends a request, does not wait for its outcome, and answers 202.
func (s *Server) accept(ctx context.Context, c *fiber.Ctx, in *exchange.Request, r *route.Route, request *calls.Call, prefer tickets.Preference) *exchange.Failure {
	if _, err := s.backend.caller.Send(ctx, request); err != nil {
		return s.responder.explain(in, r, err)
	}
	if in.Keyed { // the key may have been used before
		return s.ticketInstead(ctx, c, in, r, prefer)
	}
	return s.tickets.Write(c, in, r.OutcomeAt(in), prefer, wire.StateQueued)
}

// ticketInstead answers 202 for a request without an outcome in time.
func (s *Server) ticketInstead(ctx context.Context, c *fiber.Ctx, in *exchange.Request, r *route.Route, prefer tickets.Preference) *exchange.Failure {
	state, found := s.tickets.State(ctx, r.Service, in.ID.String())
	if !found { // it is unknown whether the request was accepted
		return s.responder.explain(in, r, wire.NewError(wire.CodeTimeout, r.Service+" did not answer in time").WithCause(caller.ErrTimeout))
	}
	return s.tickets.Write(c, in, r.OutcomeAt(in), prefer, state)
}
