package api

import (
	"context"
	"errors"

	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/cache"
	calls "github.com/oskadev/mailroom/internal/call"
)

// explain makes the gateway's answer of why a call has none. Where the request may
// have run, the answer tells where to learn its outcome.
func (s *Server) explain(in *call, r *route, err error) *failure {
	e, ok := errors.AsType[*wire.Error](err)
	switch {
	case errors.Is(err, errTooLong):
		return fail(wire.CodeInternal, "the answer is larger than this route may give").at(r.outcomeAt(in))
	case !ok && errors.Is(err, context.Canceled):
		return unavailable("the gateway is stopping").at(r.outcomeAt(in))
	case !ok:
		s.log.Error("a call failed", "service", r.service, "action", r.action.Name, "request", in.id, "error", err)
		return fail(wire.CodeInternal, "internal error")
	}
	f := &failure{Error: e}
	for _, unknown := range []error{
		caller.ErrTimeout, caller.ErrExpired, caller.ErrDead, caller.ErrCancelled, caller.ErrClosed, context.Canceled, context.DeadlineExceeded,
	} {
		if errors.Is(err, unknown) && !calls.NotSent(err) {
			f.location = r.outcomeAt(in)
		}
	}
	f.cacheDetail = cacheDetail(err)
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
