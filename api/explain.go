package api

import (
	"context"
	"errors"

	"github.com/gofiber/fiber/v2"

	"github.com/oskadev/mailroom/api/exchange"
	"github.com/oskadev/mailroom/api/route"
	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/cache"
	calls "github.com/oskadev/mailroom/internal/call"
)

// errTooLong reports an answer over the size limit of its route.
var errTooLong = errors.New("the answer is too long")

// explain returns the failure for the error of a call. Where the action may have run, the
// failure has the path of the outcome.
func (w *responder) explain(in *exchange.Request, r *route.Route, err error) *exchange.Failure {
	e, ok := errors.AsType[*wire.Error](err)
	switch {
	case errors.Is(err, errTooLong):
		return exchange.Fail(wire.CodeInternal, "the answer is larger than this route may give").At(r.OutcomeAt(in))
	case !ok && errors.Is(err, context.Canceled):
		return exchange.Unavailable("the gateway is stopping").At(r.OutcomeAt(in))
	case !ok:
		w.log.With(in.LogIDs()).Error("a call failed", "service", r.Service, "action", r.Action.Name, "error", err)
		return exchange.Fail(wire.CodeInternal, "internal error")
	}
	in.Outcome.Expired = errors.Is(err, caller.ErrExpired)
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

// unanswered returns the failure for a call without an answer, and sets Cache-Status.
func (w *responder) unanswered(c *fiber.Ctx, in *exchange.Request, r *route.Route, request *calls.Call, err error) *exchange.Failure {
	f := w.explain(in, r, err)
	if r.Caching != nil && !request.Cached.Skip {
		exchange.SetHeader(c.Response(), exchange.HeaderCacheStatus, "mailroom; detail="+f.CacheDetail)
	}
	return f
}

// cacheDetail returns the parameter detail of Cache-Status for an error.
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
