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

// serve calls the action and writes its answer.
func (s *Server) serve(ctx context.Context, c *fiber.Ctx, in *exchange.Request, r *route.Route, args string) *exchange.Failure {
	if r.Plan != nil && r.Action.Safe {
		return s.serveRead(c, in, r, args)
	}
	request := calls.Call{
		Call:     caller.Call{Service: r.Service, Action: r.Action.Name, Args: args, Principal: in.Principal},
		Declared: r.Action,
	}
	plan, began := "", int64(0)
	if r.Plan != nil {
		if err := s.composer.Keep(ctx, r.Plan); err != nil {
			s.log.Debug("a plan could not be kept", "composition", r.Action.Name, "error", err)
			return exchange.Unavailable("Redis is not reachable")
		}
		request.Wait, request.Place = true, r.Plan.Name() // gateways run it
		plan, began = r.Plan.Hash(), s.backend.conn.Clock.Millis()
	}
	var wants wants
	if r.Caching != nil {
		wants = wantsOf(c, in)
		request.Cached = wants.cached()
	}
	var prefer tickets.Preference
	if !r.Action.Safe {
		var f *exchange.Failure
		if prefer, f = s.tickets.Prepare(c, in, &request); f != nil {
			return f
		}
	}
	request.ID, request.Meta = in.ID, in.EncodeMeta(plan, began)
	if prefer.Given() && prefer.Wait == 0 {
		return s.accept(ctx, c, in, r, &request, prefer)
	}
	answer, err := s.backend.caller.Do(context.Background(), &request) //nolint:contextcheck // its timeout ends it, or the client's end
	switch {
	case err != nil && prefer.Given() && isLate(err):
		return s.ticketInstead(ctx, c, in, r, prefer)
	case err != nil:
		return s.unanswered(c, in, r, &request, err)
	case answer.Shared != nil:
		s.writeShared(c, in, r, &answer, wants)
		return nil
	}
	if r.Caching != nil {
		exchange.SetHeader(c.Response(), exchange.HeaderCacheStatus, "mailroom; fwd=bypass; detail=no-store")
	}
	if err := s.fits(in, r, answer.Envelope); err != nil {
		return s.explain(in, r, err)
	}
	s.respond(c, in, r, answer.Reply)
	return nil
}

// serveRead answers a call of a composition that only reads.
func (s *Server) serveRead(c *fiber.Ctx, in *exchange.Request, r *route.Route, args string) *exchange.Failure {
	reply, meta, err := s.composer.Read(in, r, args)
	if err == nil {
		err = s.fits(in, r, reply.Envelope)
	}
	if err != nil {
		return s.explain(in, r, err)
	}
	s.respondWith(c, in, r, reply, meta)
	return nil
}

// unanswered is the answer to a call that got none.
func (s *Server) unanswered(c *fiber.Ctx, in *exchange.Request, r *route.Route, request *calls.Call, err error) *exchange.Failure {
	f := s.explain(in, r, err)
	if r.Caching != nil && !request.Cached.Skip {
		exchange.SetHeader(c.Response(), exchange.HeaderCacheStatus, "mailroom; detail="+f.CacheDetail)
	}
	return f
}

// isLate reports that the outcome of a request may still come.
func isLate(err error) bool {
	return errors.Is(err, caller.ErrTimeout) && !errors.Is(err, caller.ErrNotReplicated) || errors.Is(err, caller.ErrExpired)
}

// accept sends a request without waiting for its outcome.
func (s *Server) accept(ctx context.Context, c *fiber.Ctx, in *exchange.Request, r *route.Route, request *calls.Call, prefer tickets.Preference) *exchange.Failure {
	if _, err := s.backend.caller.Send(ctx, request); err != nil {
		return s.explain(in, r, err)
	}
	if in.Keyed { // it may have been sent long before
		return s.ticketInstead(ctx, c, in, r, prefer)
	}
	return s.tickets.Write(c, in, r.OutcomeAt(in), prefer, wire.StateQueued)
}

// ticketInstead answers with the ticket of a request whose outcome did not come in
// time.
func (s *Server) ticketInstead(ctx context.Context, c *fiber.Ctx, in *exchange.Request, r *route.Route, prefer tickets.Preference) *exchange.Failure {
	state, found := s.tickets.State(ctx, r.Service, in.ID.String())
	if !found { // whether it was accepted is unknown
		return s.explain(in, r, wire.NewError(wire.CodeTimeout, r.Service+" did not answer in time").WithCause(caller.ErrTimeout))
	}
	return s.tickets.Write(c, in, r.OutcomeAt(in), prefer, state)
}

// errTooLong reports an answer that is longer than its route may give.
var errTooLong = errors.New("the answer is too long")

// fits checks an answer against the size limit of its route. The action has run.
func (s *Server) fits(in *exchange.Request, r *route.Route, envelope string) error {
	limit := s.gate.ResponseLimit(r.Pattern)
	if limit == 0 || len(envelope) <= limit {
		return nil
	}
	s.log.Error("an answer is larger than its route may give", "service", r.Service, "action", r.Action.Name,
		"request", in.ID, "bytes", len(envelope), "limit", limit)
	return errTooLong
}
