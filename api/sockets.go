package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/oskadev/mailroom/api/auth"
	"github.com/oskadev/mailroom/api/exchange"
	"github.com/oskadev/mailroom/api/limits"
	"github.com/oskadev/mailroom/api/route"
	"github.com/oskadev/mailroom/api/socket"
	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/wire"
	calls "github.com/oskadev/mailroom/internal/call"
	"github.com/oskadev/mailroom/internal/template"
)

// socketPath is the path of WebSockets.
const socketPath = "/socket"

// openSocket turns a request into a socket. A credential in its headers is verified; the
// first frame may bring one instead.
func (s *Server) openSocket(ctx context.Context, c *fiber.Ctx, in *exchange.Request) {
	if in.Method != http.MethodGet {
		exchange.RefuseMethod(c, in, exchange.ReadMethods)
		return
	}
	if s.tooEarly(s.router.Table()) { // every action and every tag would be unknown
		exchange.Refuse(c, in, exchange.Unavailable("Redis is not reachable"))
		return
	}
	h := socket.Handshake{Address: s.quotas.Address(c)}
	var quota limits.Tightest
	f := s.quotas.Count(ctx, func() netip.Addr { return h.Address }, in, limits.StageAddress, nil, &quota)
	quota.Write(c.Response())
	if f == nil {
		h.Credential, h.Authenticated, f = auth.CredentialOf(&c.Request().Header)
	}
	if f == nil && h.Authenticated {
		h.Principal, f = s.auth.Verify(ctx, h.Credential)
	}
	if f == nil {
		f = s.sockets.Upgrade(c, h) //nolint:contextcheck // the socket outlives the request
	}
	if f != nil {
		exchange.Refuse(c, in, f)
	}
}

// socketBackend answers the calls of sockets as HTTP requests are answered.
type socketBackend struct{ *Server }

// Call calls an action.
func (b socketBackend) Call(call *socket.Call) *socket.Answer {
	ctx := context.Background() // the timeout of the call, or the close of the client, ends it
	in := exchange.NewMessage(call.Principal, call.Version)
	b.spans.begin(&in)
	r, args, f := b.admitCall(ctx, &in, call)
	if f == nil {
		var answer *socket.Answer
		if answer, f = b.answerCall(ctx, &in, r, args, call); f == nil {
			b.ended(ctx, &in, cmp.Or(answer.Status, http.StatusOK))
			return answer
		}
	}
	in.Outcome.Refused = f.Code
	b.ended(ctx, &in, f.Status)
	return refused(&in, f)
}

// Cancel cancels the request of a call.
func (b socketBackend) Cancel(ctx context.Context, call *socket.Call) socket.Cancelled {
	sent := call.Sent()
	switch {
	case sent == nil:
		return socket.NotSent
	case sent.Safe:
		return socket.Abandoned
	}
	_, err := b.backend.client.Cancel(ctx, sent.Service, sent.ID)
	switch {
	case errors.Is(err, caller.ErrNoRecord):
		return socket.NotSent
	case err != nil:
		b.cfg.Logger.WarnContext(ctx, "a request could not be cancelled", "service", sent.Service, "correlation_id", sent.ID, "error", err)
	}
	return socket.Asked
}

// MaySubscribe refuses a subscription to a tag that no cached action of the service
// declares, or whose actions the principal may not call.
func (b socketBackend) MaySubscribe(principal *wire.Principal, service, tag string) *exchange.Failure {
	refused := exchange.Fail(wire.CodeNotFound, fmt.Sprintf("no cached action of %.64q has the tag %.128q", service, tag))
	s := b.router.Services()[service]
	if s == nil || s.Manifest == nil {
		return refused
	}
	for i := range s.Manifest.Actions {
		a := &s.Manifest.Actions[i]
		if a.Cache == nil || len(a.Routes) == 0 || !slices.ContainsFunc(a.Cache.Tags, func(t string) bool { return template.Matches(t, tag) }) {
			continue
		}
		if refused = b.auth.Authorize(principal, a.Scopes, ""); refused == nil {
			return nil
		}
	}
	return refused
}

// Nonce returns the nonce of a cache tag.
func (b socketBackend) Nonce(ctx context.Context, service, tag string) (string, error) {
	return b.backend.shared.Nonce(ctx, service, tag)
}

// Follow follows a request.
func (b socketBackend) Follow(ctx context.Context, principal *wire.Principal, ticket string, tell func(wire.RequestState), progress func(string)) (func(), *exchange.Failure) {
	in := exchange.NewMessage(principal, "")
	return b.tickets.Follow(ctx, &in, ticket, tell, progress)
}

// refused returns the answer for a failure.
func refused(in *exchange.Request, f *exchange.Failure) *socket.Answer {
	return &socket.Answer{
		Envelope: string(f.Envelope(in)), Location: f.Location, Ticket: strings.TrimPrefix(f.Location, "/requests/"), RetryAfter: f.RetryAfter,
	}
}

// admitCall counts a call, finds its route, and checks its scopes and arguments.
func (s *Server) admitCall(ctx context.Context, in *exchange.Request, call *socket.Call) (r *route.Route, args string, f *exchange.Failure) {
	var quota limits.Tightest
	address := func() netip.Addr { return call.Address }
	for _, stage := range []limits.Stage{limits.StageAddress, limits.StageCaller} {
		if f = s.quotas.Count(ctx, address, in, stage, nil, &quota); f != nil {
			return nil, "", f
		}
	}
	if r, f = s.router.Table().FindAction(in, call.Service, call.Action); f != nil {
		return nil, "", f
	}
	in.Service, in.Action = r.Service, r.Action.Name
	if f = s.quotas.Count(ctx, address, in, limits.StageRoute, r.CalledCounted(), &quota); f != nil {
		return nil, "", f
	}
	if f = s.auth.Authorize(in.Principal, r.Action.Scopes, r.Unknown); f != nil {
		return nil, "", f
	}
	args, f = r.BindArgs(call.Args)
	return r, args, f
}

// answerCall calls the action of a route.
func (s *Server) answerCall(ctx context.Context, in *exchange.Request, r *route.Route, args string, call *socket.Call) (*socket.Answer, *exchange.Failure) {
	if r.Plan != nil && r.Action.Safe {
		call.SetSent(&socket.Sent{Safe: true})
		reply, meta, err := s.composer.Read(in, r, args) //nolint:contextcheck // its deadline ends it
		if err != nil {
			return nil, s.responder.explain(in, r, err)
		}
		return s.replied(in, r, reply, meta)
	}
	request, plan, f := s.newCall(ctx, in, r, args)
	if f != nil {
		return nil, f
	}
	if !r.Action.Safe && call.Key != "" {
		if f := s.tickets.Key(in, &request, call.Key); f != nil {
			return nil, f
		}
	}
	if call.Timeout > 0 {
		request.Timeout = min(call.Timeout, r.Action.Timeout())
	}
	request.ID, request.Meta = in.ID, in.EncodeMeta(plan.hash, plan.began)
	request.Progress = call.Progress
	call.SetSent(&socket.Sent{Service: r.Service, ID: in.ID.String(), Safe: r.OutcomeAt(in) == ""})
	if call.Async && !r.Action.Safe {
		return s.acceptCall(ctx, in, r, &request)
	}
	answer, err := s.backend.caller.Do(ctx, &request)
	if err != nil {
		return nil, s.responder.explain(in, r, err)
	}
	meta, _ := wire.ParseReplyMeta(answer.Meta) // an unreadable meta is ignored
	if answer.Shared != nil {
		in.Outcome.Cache = answer.Shared.Source.String()
		if !answer.Shared.OK() {
			answer.Envelope = stamped(answer.Envelope, in, r)
		}
	}
	if answer.Shared == nil || !answer.Shared.Stored() {
		in.Outcome.SetRun(&meta)
	}
	return s.replied(in, r, answer.Reply, meta)
}

// replied returns the answer for a reply of a service.
func (s *Server) replied(in *exchange.Request, r *route.Route, reply wire.Reply, meta wire.ReplyMeta) (*socket.Answer, *exchange.Failure) {
	if err := s.responder.fits(in, r, reply.Envelope); err != nil {
		return nil, s.responder.explain(in, r, err)
	}
	status := wire.StatusOf(reply.Envelope, meta.Status)
	if status == 0 {
		return nil, s.responder.noEnvelope(in, r)
	}
	answer := &socket.Answer{Envelope: reply.Envelope, RetryAfter: meta.RetryAfter, Ticket: strings.TrimPrefix(r.OutcomeAt(in), "/requests/")}
	if meta.Location != "" {
		answer.Location = exchange.EncodeURI(meta.Location)
	}
	if status != http.StatusOK {
		answer.Status = status
	}
	return answer, nil
}

// acceptCall sends a request and answers with its ticket.
func (s *Server) acceptCall(ctx context.Context, in *exchange.Request, r *route.Route, request *calls.Call) (*socket.Answer, *exchange.Failure) {
	request.Endless, request.Wait = true, true
	if _, err := s.backend.caller.Send(ctx, request); err != nil {
		return nil, s.responder.explain(in, r, err)
	}
	state, found := s.tickets.State(ctx, r.Service, in.ID.String())
	if !found {
		state = wire.StateQueued
	}
	told := wire.RequestState{ID: in.ID.String(), Service: in.Service, Action: in.Action, State: state}
	location := r.OutcomeAt(in)
	return &socket.Answer{
		Envelope: string(told.Envelope()), Status: http.StatusAccepted, Location: location, Ticket: strings.TrimPrefix(location, "/requests/"),
	}, nil
}
