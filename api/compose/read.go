package compose

import (
	"context"
	"errors"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/oskadev/mailroom/api/exchange"
	"github.com/oskadev/mailroom/api/route"
	"github.com/oskadev/mailroom/bus/wire"
	calls "github.com/oskadev/mailroom/internal/call"
	"github.com/oskadev/mailroom/internal/tracing"
	"github.com/oskadev/mailroom/versions"
)

// Read runs a plan that only reads, in this gateway. Each step is shared and cached as its
// service declares. An error is a *wire.Error, or that of an ended context.
func (c *Composer) Read(in *exchange.Request, r *route.Route, args string) (wire.Reply, wire.ReplyMeta, error) {
	place := r.Plan.Name()
	if !c.cfg.Limit.Enter(context.Background(), place, in.Principal.Key(), r.Plan.Timeout) {
		e := wire.NewError(wire.CodeOverloaded, "too many calls of "+place+" are in flight here")
		e.RetryAfter = time.Second
		return wire.Reply{}, wire.ReplyMeta{}, e
	}
	defer c.cfg.Limit.Leave(place, in.Principal.Key())
	ends := in.Began.Add(r.Plan.Timeout)
	request := &wire.Request{ID: in.RequestID, Action: r.Action.Name}
	meta := wire.Meta{TraceParent: in.Trace, Version: in.Version, Principal: in.Principal}
	if in.OwnID {
		meta.RequestID = in.RequestID
		request.ID, request.Meta = in.ID.String(), in.EncodeMeta("", 0)
	}
	// Until bounds each step: a context with a deadline would cost more.
	ctx := context.Background()
	if in.Span != nil {
		ctx = trace.ContextWithSpan(ctx, in.Span)
	}
	answer, err := r.Plan.Run(ctx, versions.Input{Args: args, Principal: in.Principal}, func(ctx context.Context, step *versions.Step, args string) (wire.Reply, error) {
		return c.observed(ctx, r.Action.Name, step, func(span *tracing.Call) (calls.Answer, error) {
			call := newCall(step, args, &meta, request.ID, span)
			call.Until = ends
			answer, err := c.cfg.Caller.Do(ctx, call)
			if failed, known := errors.AsType[*wire.Error](err); known {
				return failedAnswer(failed, request), nil
			}
			return answer, err
		})
	})
	if err != nil {
		return wire.Reply{}, wire.ReplyMeta{}, err
	}
	if e := answer.Refusal; e != nil {
		if e.Status == http.StatusInternalServerError {
			c.cfg.Log.With(in.LogIDs()).Error("a composition failed", "composition", r.Action.Name, "error", e.Message)
			return wire.Reply{}, wire.ReplyMeta{}, wire.NewError(wire.CodeInternal, "internal error")
		}
		e.Service, e.Action = wire.ReservedService, r.Action.Name
		e.Stamp(request)
		answer.Envelope = string(wire.Failure(e))
	}
	return wire.Reply{Envelope: answer.Envelope},
		wire.ReplyMeta{Status: answer.Status, Location: answer.Location, Timing: timings(answer.Timings)}, nil
}
