package api

import (
	"context"
	"errors"

	"github.com/oskadev/mailroom/api/exchange"
	"github.com/oskadev/mailroom/api/route"
	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/cache"
	calls "github.com/oskadev/mailroom/internal/call"
)

// explain makes the gateway's answer of why a call has none. Where the request may
// have run, the answer tells where to learn its outcome.
func (s *Server) explain(in *exchange.Request, r *route.Route, err error) *exchange.Failure {
	e, ok := errors.AsType[*wire.Error](err)
	switch {
	case errors.Is(err, errTooLong):
		return exchange.Fail(wire.CodeInternal, "the answer is larger than this route may give").At(r.OutcomeAt(in))
	case !ok && errors.Is(err, context.Canceled):
		return exchange.Unavailable("the gateway is stopping").At(r.OutcomeAt(in))
	case !ok:
		s.log.Error("a call failed", "service", r.Service, "action", r.Action.Name, "request", in.ID, "error", err)
		return exchange.Fail(wire.CodeInternal, "internal error")
	}
	f := &exchange.Failure{Error: e}
	for _, unknown := range []error{
		caller.ErrTimeout, caller.ErrExpired, caller.ErrDead, caller.ErrCancelled, caller.ErrClosed, context.Canceled, context.DeadlineExceeded,
	} {
		if errors.Is(err, unknown) && !calls.NotSent(err) {
			f.Location = r.OutcomeAt(in)
		}
	}
	f.CacheDetail = cacheDetail(err)
	return f
}

// cacheDetail tells in Cache-Status why the cache gave no answer.
func cacheDetail(err error) string {
	switch {
	case errors.Is(err, cache.ErrNotStored):
		return "not-stored"
	case errors.Is(err, cache.ErrCrowded):
		return "crowded"
	case errors.Is(err, cache.ErrClosed), errors.Is(err, context.Canceled):
		return "stopping"
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	default:
		return "error"
	}
}
