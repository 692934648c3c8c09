package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/wire"
)

// ending is an outcome on its way to be settled.
type completion struct {
	delivery *Delivery
	state    string
	meta     []byte
	envelope []byte
	reason   string        // of a dead letter
	took     time.Duration // by the run
	keep     time.Duration
}

// store is how long its outcome is kept, in ms.
func (e *completion) store() int64 {
	if wanted := e.delivery.Request.Store; e.keep == 0 || wanted == 0 {
		return wanted
	}
	return e.keep.Milliseconds()
}

// deliver runs a request and hands the outcome to be settled.
func (c *Consumer) deliver(d *Delivery) {
	if e := c.outcomeOf(d); e != nil {
		c.settler.add(e)
	}
}

// outcomeOf runs a request, or ends it where it must not run. Its slot stays taken until
// the outcome is settled; nil: there is none.
func (c *Consumer) outcomeOf(d *Delivery) (outcome *completion) {
	defer func() {
		if outcome == nil { // there is none, or the handler ended its goroutine
			c.leaveUnsettled(d.Entry)
		}
	}()
	step := bus.StepClaimed
	if d.fresh {
		step = bus.StepDelivered
	}
	c.conn.Hook.At(step, d.Request.ID)
	e, ok := c.judge(d)
	if !ok {
		e, ok = c.runRequest(d.run, d)
	}
	if !ok {
		return nil
	}
	return e
}

// ended frees the slots of what has been settled.
func (c *Consumer) ended(endings []*completion) {
	freed := 0
	c.mu.Lock()
	for _, e := range endings {
		if r := c.running[e.delivery.Entry]; r != nil {
			r.cancel(nil)
			delete(c.running, e.delivery.Entry)
			freed++
		}
	}
	c.mu.Unlock()
	c.slots.give(freed)
}

// leaveUnsettled stops keeping an entry, and frees its slot: when it has been
// idle for the idle limit, some worker tries again.
func (c *Consumer) leaveUnsettled(entry string) {
	c.mu.Lock()
	r := c.running[entry]
	delete(c.running, entry)
	c.left[entry] = true
	c.mu.Unlock()
	if r != nil {
		r.cancel(nil)
		c.slots.give(1)
	}
}

// judge ends a delivery that must not run: no valid request, past its
// deadline, or delivered too often.
func (c *Consumer) judge(d *Delivery) (*completion, bool) {
	r := &d.Request
	switch {
	case d.invalid != nil:
		return c.refuseInvalid(d), true
	case r.Expired(c.conn.Clock.Millis()):
		if d.fresh {
			return c.expire(d), true
		}
		return c.bury(d, "the deadline passed; it may have begun before"), true
	case d.Attempt > c.cfg.MaxAttempts:
		d.Attempt-- // this delivery does not run it
		return c.bury(d, fmt.Sprintf("delivered %d times without an outcome", d.Attempt)), true
	}
	return nil, false
}

// expire ends a request that never ran. Nobody is told: see settle.lua.
func (c *Consumer) expire(d *Delivery) *completion {
	c.conn.Log().Info("a request expired before it ran", "service", c.service, "action", d.Request.Action, "request", d.Request.ID)
	return &completion{delivery: d, state: wire.StateExpired, meta: []byte{'-'}, envelope: []byte{'-'}}
}

// refuseInvalid answers an entry that is no valid request where its asker is
// known, and buries it otherwise.
func (c *Consumer) refuseInvalid(d *Delivery) *completion {
	r := &d.Request
	c.conn.Log().Warn("the mailbox holds an entry that is no valid request",
		"service", c.service, "entry", d.Entry, "error", d.invalid)
	answerable := len(r.ID) == 36 && c.conn.Keys.MayReply(c.service, r.Reply)
	switch {
	case !answerable:
		e := c.bury(d, d.invalid.Error())
		if len(r.ID) != 36 {
			r.ID, r.Store = "", 0
		}
		return e
	case errors.Is(d.invalid, wire.ErrVersion):
		return c.fail(d, wire.StateDone, wire.Error{Code: wire.CodeNotSupported, Status: 501, Message: d.invalid.Error()}, "")
	default:
		return c.fail(d, wire.StateDone, wire.Error{Code: wire.CodeBadRequest, Status: 400, Message: d.invalid.Error()}, "")
	}
}

// bury makes a dead letter of a delivery.
func (c *Consumer) bury(d *Delivery, reason string) *completion {
	r := &d.Request
	c.conn.Log().Error("a request became a dead letter", "service", c.service,
		"action", r.Action, "request", r.ID, "attempts", d.Attempt, "reason", reason)
	return c.fail(d, wire.StateDead, wire.Error{
		Code: wire.CodeInternal, Status: 500, Message: "the request was given up",
		Details: map[string]string{"state": wire.StateDead},
	}, reason)
}

func (c *Consumer) fail(d *Delivery, state string, e wire.Error, reason string) *completion {
	e.Service, e.Action = c.service, d.Request.Action
	e.Stamp(&d.Request)
	meta := wire.ReplyMeta{Worker: c.worker, Attempt: d.Attempt, Status: e.Status}
	if state == wire.StateDead && !d.Request.Safe() {
		meta.Location = wire.Location(c.service, d.Request.ID)
	}
	return &completion{delivery: d, state: state, meta: meta.Append(nil), envelope: wire.Failure(&e), reason: reason}
}

// runRequest runs a request that may run.
func (c *Consumer) runRequest(ctx context.Context, d *Delivery) (*completion, bool) {
	if !c.mayBegin(ctx, d) {
		return nil, false
	}
	c.conn.Hook.At(bus.StepBegin, d.Request.ID)
	began := time.Now()
	o := c.cfg.Run(ctx, d)
	took := time.Since(began) // with all that surrounds the handler, which may wait too
	if p := c.paces[d.Request.Action]; p != nil {
		p.note(took)
	}
	c.conn.Hook.At(bus.StepRan, d.Request.ID)
	switch {
	case o.kind == kindDone:
	case o.kind == kindDead:
		return c.bury(d, o.reason), true
	case o.kind == kindExpired && d.fresh:
		return c.expire(d), true
	default:
		return nil, false
	}
	if len(o.envelope) > wire.MaxReply {
		c.conn.Log().ErrorContext(ctx, "a reply is too large", "service", c.service, "action", d.Request.Action,
			"request", d.Request.ID, "bytes", len(o.envelope), "limit", wire.MaxReply)
		return c.fail(d, wire.StateDone, wire.Error{Code: wire.CodeInternal, Status: 500, Message: "the reply is too large"}, ""), true
	}
	o.meta.Worker, o.meta.Attempt, o.meta.Queue = c.worker, d.Attempt, d.Queued
	return &completion{delivery: d, state: wire.StateDone, meta: o.meta.Append(nil), envelope: o.envelope, keep: o.keep, took: took}, true
}

// mayBegin asks whether an unsafe request is still this worker's, when so much
// time has passed since it was read that another may have taken and ended it:
// this process was frozen, or its machine was. Where Redis does not answer it
// is left to another delivery.
func (c *Consumer) mayBegin(ctx context.Context, d *Delivery) bool {
	if d.Request.Safe() || time.Since(d.owned) < c.cfg.IdleLimit {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, c.conn.Timeout())
	defer cancel()
	lost, err := c.conn.Scripts.Keep.Run(ctx, c.conn.Redis(), []string{c.mailbox}, c.worker, d.Entry)
	if entries, _ := lost.([]any); err == nil && len(entries) == 0 {
		return true
	}
	c.conn.Log().WarnContext(ctx, "a request was not begun: so late it may be another worker's", "service", c.service,
		"worker", c.worker, "request", d.Request.ID, "error", err)
	return false
}
