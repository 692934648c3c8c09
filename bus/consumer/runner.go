package consumer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/lograte"
)

// completion is how a delivery ended, on its way to be settled.
type completion struct {
	delivery *Delivery
	state    string
	meta     []byte
	envelope []byte
	reason   string        // of a dead letter
	took     time.Duration // by the run
	status   int           // of the answer, as declared; 0: none
	keep     time.Duration
}

// store returns how long the outcome is stored, in ms.
func (e *completion) store() int64 {
	if wanted := e.delivery.Request.Store; e.keep == 0 || wanted == 0 {
		return wanted
	}
	return e.keep.Milliseconds()
}

// runner decides whether a delivered request may run, and runs it.
type runner struct {
	w        *worker
	requests *requests
	settler  *settler
	fast     fastActions
	tracer   *tracer         // nil: no spans are made
	invalid  lograte.Limiter // lines about entries that are not valid requests
}

func newRunner(w *worker, r *requests, s *settler) *runner {
	return &runner{w: w, requests: r, settler: s, fast: newFastActions(w.cfg.Manifest), tracer: newTracer(w)}
}

// deliver completes a delivery and adds it to the settler.
func (r *runner) deliver(d *Delivery) {
	if e := r.complete(d); e != nil {
		r.settler.add(e)
	}
}

// complete runs a request, or ends it where it must not run. Its slot stays taken until
// the completion is settled. Without an outcome it returns nil.
func (r *runner) complete(d *Delivery) (e *completion) {
	defer func() {
		d.trial.end(d.trial != nil && d.trial.lost)
		if e == nil { // also when the handler ended its goroutine
			d.settled(errUnsettled)
			r.requests.abandon(d.Entry)
		}
	}()
	step := bus.StepClaimed
	if d.fresh {
		step = bus.StepDelivered
	}
	r.w.conn.Hook.At(step, d.Request.ID)
	if e = r.refuse(d); e == nil {
		e = r.run(d.run, d)
	} else if r.tracer != nil {
		r.tracer.refused(d, e.state)
	}
	if e != nil && r.w.cfg.Ended != nil {
		r.ended(e)
	}
	return e
}

// ended reports a delivery that has an outcome.
func (r *runner) ended(e *completion) {
	ended := Ended{State: e.state, Took: e.took, Envelope: e.envelope}
	if e.state != wire.StateExpired {
		ended.Status = wire.StatusOf(e.envelope, e.status)
	}
	r.w.cfg.Ended(e.delivery, &ended)
}

// refuse ends a delivery that must not run: an invalid entry, a request past its deadline
// or delivered too often. It returns nil for every other one.
func (r *runner) refuse(d *Delivery) *completion {
	switch {
	case d.invalid != nil:
		return r.refuseInvalid(d)
	case d.Request.Expired(r.w.conn.Clock.Millis()):
		// A safe read that was lost once has changed nothing; lost again, it may kill workers.
		if d.fresh || d.Request.Safe() && d.Attempt <= 2 {
			return r.expire(d)
		}
		return r.deadLetter(d, "the deadline passed; it may have begun before"+d.trial.reason())
	case d.Attempt > r.w.cfg.MaxAttempts:
		d.Attempt-- // this delivery does not run it
		return r.deadLetter(d, fmt.Sprintf("delivered %d times without an outcome%s", d.Attempt, d.trial.reason()))
	default:
		return nil
	}
}

// expire ends a request without an effect. It publishes no reply: see settle.lua.
func (r *runner) expire(d *Delivery) *completion {
	r.w.log.With(d.LogIDs()).Info("a request expired", "action", d.Request.Action)
	return &completion{delivery: d, state: wire.StateExpired, meta: []byte{'-'}, envelope: []byte{'-'}}
}

// refuseInvalid answers an invalid entry if it names its caller, and makes a dead letter
// of it otherwise.
func (r *runner) refuseInvalid(d *Delivery) *completion {
	request := &d.Request
	r.invalid.Warn(r.w.log.With(d.LogIDs()), "an entry of the mailbox is not a valid request",
		"entry", d.Entry, "error", d.invalid)
	answerable := len(request.ID) == 36 && r.w.conn.Keys.MayReply(r.w.service, request.Reply)
	switch {
	case !answerable:
		e := r.deadLetter(d, d.invalid.Error())
		if len(request.ID) != 36 {
			request.ID, request.Store = "", 0
		}
		return e
	case errors.Is(d.invalid, wire.ErrVersion):
		return r.fail(d, wire.StateDone, wire.Error{Code: wire.CodeNotSupported, Status: 501, Message: d.invalid.Error()}, "")
	default:
		return r.fail(d, wire.StateDone, wire.Error{Code: wire.CodeBadRequest, Status: 400, Message: d.invalid.Error()}, "")
	}
}

// deadLetter makes a dead letter of a delivery.
func (r *runner) deadLetter(d *Delivery, reason string) *completion {
	request := &d.Request
	r.w.log.With(d.LogIDs()).Error("a request became a dead letter",
		"action", request.Action, "attempts", d.Attempt, "reason", reason)
	return r.fail(d, wire.StateDead, wire.Error{
		Code: wire.CodeInternal, Status: 500, Message: "the request was given up",
		Details: map[string]string{"state": wire.StateDead},
	}, reason)
}

func (r *runner) fail(d *Delivery, state string, e wire.Error, reason string) *completion {
	e.Service, e.Action = r.w.service, d.Request.Action
	e.Stamp(&d.Request)
	meta := wire.ReplyMeta{Worker: r.w.id, Attempt: d.Attempt, Status: e.Status}
	if state == wire.StateDead && !d.Request.Safe() {
		meta.Location = wire.Location(r.w.service, d.Request.ID)
	}
	return &completion{delivery: d, state: state, meta: meta.Append(nil), envelope: wire.Failure(&e), reason: reason, status: e.Status}
}

// run runs a request.
func (r *runner) run(ctx context.Context, d *Delivery) *completion {
	if !r.stillOwned(ctx, d) {
		return nil
	}
	r.w.conn.Hook.At(bus.StepBegin, d.Request.ID)
	began := time.Now()
	o := r.call(ctx, d, began)
	took := time.Since(began) // with what surrounds the handler, which may block too
	if !r.w.cfg.Remote {
		r.fast.note(d.Request.Action, took)
	}
	r.w.conn.Hook.At(bus.StepRan, d.Request.ID)
	switch {
	case o.kind == kindDone:
		return r.done(ctx, d, &o, took)
	case o.kind == kindDead:
		return r.deadLetter(d, o.reason)
	case o.kind == kindExpired && d.fresh:
		return r.expire(d)
	case o.kind == kindCancelled:
		return r.fail(d, wire.StateCancelled, wire.Error{
			Code: wire.CodeConflict, Status: 409, Message: "the request was cancelled",
			Details: map[string]any{"state": wire.StateCancelled, "began": true},
		}, "")
	case o.kind == kindRelease:
		if d.trial != nil {
			d.trial.lost = true // it keeps its mark
		}
		r.release(ctx, d, r.w.cfg.IdleLimit, 0, 0)
		return nil
	case o.kind == kindNotBegun:
		r.release(ctx, d, r.w.cfg.IdleLimit, 1, 0)
		return nil
	default:
		r.release(ctx, d, 0, 0, 1)
		return nil
	}
}

// call calls the handler, within a span where spans are made.
func (r *runner) call(ctx context.Context, d *Delivery, began time.Time) Outcome {
	if r.tracer != nil {
		return r.tracer.run(ctx, d, began)
	}
	return r.w.cfg.Run(ctx, d)
}

// release gives a request back. It then has the idle time, and loses uncounted deliveries
// from its count. With unsuspected 1 its handler has ended by itself, and it is no suspect.
// Where Redis does not answer, the request is delivered again after the idle limit.
func (r *runner) release(ctx context.Context, d *Delivery, idle time.Duration, uncounted, unsuspected int) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.w.conn.Timeout())
	defer cancel()
	_, err := r.w.conn.Scripts.Release.Run(ctx, r.w.conn.Redis(), []string{r.w.mailbox}, r.w.id, idle.Milliseconds(), d.Entry, uncounted, unsuspected)
	if err != nil && !r.w.isRefused(err) {
		r.w.log.With(d.LogIDs()).WarnContext(ctx, "cannot release a request, it will be delivered after the idle limit", "error", err)
	}
}

// done completes a delivery with the outcome of its handler.
func (r *runner) done(ctx context.Context, d *Delivery, o *Outcome, took time.Duration) *completion {
	if len(o.envelope) > wire.MaxReply {
		r.w.log.With(d.LogIDs()).ErrorContext(ctx, "a reply is too large", "action", d.Request.Action, "bytes", len(o.envelope), "limit", wire.MaxReply)
		return r.fail(d, wire.StateDone, wire.Error{Code: wire.CodeInternal, Status: 500, Message: "the reply is too large"}, "")
	}
	o.meta.Worker, o.meta.Attempt, o.meta.Queue = r.w.id, d.Attempt, d.Queued
	return &completion{delivery: d, state: wire.StateDone, meta: o.meta.Append(nil), envelope: o.envelope, keep: o.keep, took: took, status: o.meta.Status}
}

// stillOwned reports whether the worker owns a request that is about to run. It asks
// Redis only for an unsafe one that was read longer ago than the idle limit: the process
// or its machine was frozen, and another worker may have taken and ended the request.
// Where Redis does not answer, the request is left to another delivery.
func (r *runner) stillOwned(ctx context.Context, d *Delivery) bool {
	if d.Request.Safe() || time.Since(d.owned) < r.w.cfg.IdleLimit {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, r.w.conn.Timeout())
	defer cancel()
	lost, err := r.w.conn.Scripts.Keep.Run(ctx, r.w.conn.Redis(), []string{r.w.mailbox}, r.w.id, d.Entry)
	// A cancelled one is still owned: the next keep-alive ends its handler.
	if entries, _ := lost.([]any); err == nil && !slices.Contains(entries, any(d.Entry)) {
		return true
	}
	r.w.log.With(d.LogIDs()).WarnContext(ctx, "a request was not started, another worker may own it", "error", err)
	return false
}
