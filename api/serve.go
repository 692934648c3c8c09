package api

import (
	"context"
	"errors"

	"github.com/gofiber/fiber/v2"
	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/wire"
	calls "github.com/oskadev/mailroom/internal/call"
)

// serve calls the action and writes its answer.
func (s *Server) serve(ctx context.Context, c *fiber.Ctx, in *call, r *route, args string) *failure {
	if r.plan != nil && r.action.Safe {
		return s.serveRead(c, in, r, args)
	}
	request := calls.Call{
		Call:     caller.Call{Service: r.service, Action: r.action.Name, Args: args, Principal: in.principal},
		Declared: r.action,
	}
	plan, began := "", int64(0)
	if r.plan != nil {
		if err := s.composer.keep(ctx, r.plan); err != nil {
			s.log.Debug("a plan could not be kept", "composition", r.action.Name, "error", err)
			return unavailable("Redis is not reachable")
		}
		request.Wait, request.Place = true, r.plan.Name() // gateways run it
		plan, began = r.plan.Hash(), s.backend.conn.Clock.Millis()
	}
	var wants wants
	if r.caching != nil {
		wants = wantsOf(c, in)
		request.Cached = wants.cached()
	}
	var prefer preference
	if !r.action.Safe {
		var f *failure
		if prefer, f = s.tickets.prepare(c, in, &request); f != nil {
			return f
		}
	}
	request.ID, request.Meta = in.id, in.encodeMeta(plan, began)
	if prefer.given() && prefer.wait == 0 {
		return s.accept(ctx, c, in, r, &request, prefer)
	}
	answer, err := s.backend.caller.Do(context.Background(), &request) //nolint:contextcheck // its timeout ends it, or the client's end
	switch {
	case err != nil && prefer.given() && isLate(err):
		return s.ticketInstead(ctx, c, in, r, prefer)
	case err != nil:
		return s.unanswered(c, in, r, &request, err)
	case answer.Shared != nil:
		s.writeShared(c, in, r, &answer, wants)
		return nil
	}
	if r.caching != nil {
		setHeader(c.Response(), HeaderCacheStatus, "mailroom; fwd=bypass; detail=no-store")
	}
	if err := s.fits(in, r, answer.Envelope); err != nil {
		return s.explain(in, r, err)
	}
	s.respond(c, in, r, answer.Reply)
	return nil
}

// serveRead answers a call of a composition that only reads.
func (s *Server) serveRead(c *fiber.Ctx, in *call, r *route, args string) *failure {
	reply, meta, err := s.composer.read(in, r, args)
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
func (s *Server) unanswered(c *fiber.Ctx, in *call, r *route, request *calls.Call, err error) *failure {
	f := s.explain(in, r, err)
	if r.caching != nil && !request.Cached.Skip {
		setHeader(c.Response(), HeaderCacheStatus, "mailroom; detail="+f.cacheDetail)
	}
	return f
}

// isLate reports that the outcome of a request may still come.
func isLate(err error) bool {
	return errors.Is(err, caller.ErrTimeout) && !errors.Is(err, caller.ErrNotReplicated) || errors.Is(err, caller.ErrExpired)
}

// accept sends a request without waiting for its outcome.
func (s *Server) accept(ctx context.Context, c *fiber.Ctx, in *call, r *route, request *calls.Call, prefer preference) *failure {
	if _, err := s.backend.caller.Send(ctx, request); err != nil {
		return s.explain(in, r, err)
	}
	if in.keyed { // it may have been sent long before
		return s.ticketInstead(ctx, c, in, r, prefer)
	}
	return s.tickets.write(c, in, r.outcomeAt(in), prefer, wire.StateQueued)
}

// ticketInstead answers with the ticket of a request whose outcome did not come in
// time.
func (s *Server) ticketInstead(ctx context.Context, c *fiber.Ctx, in *call, r *route, prefer preference) *failure {
	state, found := s.tickets.state(ctx, r.service, in.id.String())
	if !found { // whether it was accepted is unknown
		return s.explain(in, r, wire.NewError(wire.CodeTimeout, r.service+" did not answer in time").WithCause(caller.ErrTimeout))
	}
	return s.tickets.write(c, in, r.outcomeAt(in), prefer, state)
}

// errTooLong reports an answer that is longer than its route may give.
var errTooLong = errors.New("the answer is too long")

// fits checks an answer against the size limit of its route. The action has run.
func (s *Server) fits(in *call, r *route, envelope string) error {
	limit := s.gate.ResponseLimit(r.pattern)
	if limit == 0 || len(envelope) <= limit {
		return nil
	}
	s.log.Error("an answer is larger than its route may give", "service", r.service, "action", r.action.Name,
		"request", in.id, "bytes", len(envelope), "limit", limit)
	return errTooLong
}
