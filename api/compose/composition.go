package compose

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/consumer"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/backoff"
	calls "github.com/oskadev/mailroom/internal/call"
	"github.com/oskadev/mailroom/internal/tracing"
	"github.com/oskadev/mailroom/versions"
)

// composition is one run of a request from the mailbox. Its steps may run concurrently.
type composition struct {
	*Composer
	delivery *consumer.Delivery
	request  *wire.Request
	meta     wire.Meta
	timeout  time.Duration // of its plan
	again    bool          // an earlier run may have begun it
	secret   []byte        // of the gateways

	mu    sync.Mutex
	begun map[*versions.Step]bool // the steps whose effects may have happened or are about to
	over  bool                    // the failure of a step is the answer
	ended []string                // the records of steps that have their outcome
}

// run runs one delivery. A step with an unknown outcome leaves the request without an
// outcome: it is delivered again, and steps that have happened do not run again.
func (c *Composer) run(ctx context.Context, d *consumer.Delivery) consumer.Outcome {
	one := &composition{Composer: c, delivery: d, request: &d.Request, meta: d.Request.ParseMeta(), again: d.Attempt > 1, begun: make(map[*versions.Step]bool)}
	if one.tooOld() {
		return one.dead()
	}
	if one.secret = c.cfg.Secret(); one.secret == nil {
		return consumer.Retry() // Redis has not answered this gateway yet
	}
	plan, err := c.plan(ctx, one.meta.Plan)
	if errors.Is(err, bus.ErrNoValue) {
		return consumer.Dead("its plan is not kept any more")
	}
	if err != nil {
		one.log().WarnContext(ctx, "the plan of a composition cannot be read, it will be delivered again", "error", err)
		return consumer.Retry()
	}
	one.timeout = plan.Timeout
	if d.Request.Deadline != 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.UnixMilli(d.Request.Deadline).Sub(c.cfg.Conn.Clock.Now()))
		defer cancel()
	}
	c.awaitServices(ctx, plan)
	began := time.Now()
	answer, err := plan.Run(ctx, versions.Input{Args: d.Request.Args, Principal: one.meta.Principal, Stage: one.stage}, one.observedStep)
	if errors.Is(err, errTooOld) {
		return one.dead()
	}
	if err != nil {
		one.log().WarnContext(ctx, "a composition has no outcome yet", "error", err)
		return consumer.Retry()
	}
	meta, envelope := wire.ReplyMeta{Status: answer.Status, Location: answer.Location}, []byte(answer.Envelope)
	if answer.Refusal != nil {
		if answer.Refusal.Status == http.StatusInternalServerError {
			one.log().ErrorContext(ctx, "a composition failed", "error", answer.Refusal.Message)
			answer.Refusal.Message = "internal error"
		}
		meta, envelope = wire.ReplyMeta{Status: answer.Refusal.Status}, one.failure(answer.Refusal)
	}
	keep := time.Duration(0)
	if one.over { // nothing has happened: the same ID sent again runs it again
		keep = consumer.NoEffectStore
	}
	meta.Run, meta.Timing, meta.Tags = time.Since(began), timings(answer.Timings), answer.Tags
	d.AfterSettled = one.expireSteps
	return consumer.Done(meta, envelope, keep)
}

// A gateway reads the names of all services each second. One that has not read the name of a
// new service yet gets compositions from gateways that have.
const (
	unknownWait = 1500 * time.Millisecond
	unknownPoll = 10 * time.Millisecond
)

// awaitServices waits until all services of a plan are known, but not for long: the step of a
// service that does not exist fails.
func (c *Composer) awaitServices(ctx context.Context, p *versions.Plan) {
	limit := time.Now().Add(unknownWait)
	for !c.knows(p) && time.Now().Before(limit) {
		if backoff.Pause(ctx, unknownPoll) != nil {
			return
		}
	}
}

// knows reports whether all services of a plan are known.
func (c *Composer) knows(p *versions.Plan) bool {
	services := c.cfg.Services.Services()
	for _, stage := range p.Stages {
		for _, s := range stage {
			if s.Refusal == nil && services[s.Service] == nil {
				return false
			}
		}
	}
	return true
}

// expireSteps shortens the life of the steps' outcomes, which no run needs any more.
func (c *composition) expireSteps() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, record := range c.ended {
		c.Composer.ended.Add(record)
	}
}

// log returns the log with the IDs of the request.
func (c *composition) log() *slog.Logger {
	return c.cfg.Log.With(wire.LogIDs(c.meta.RequestID, c.request.ID, c.delivery.TraceParent())).With("composition", c.request.Action)
}

var errTooOld = errors.New("the composition is too old")

// tooOld reports whether the outcomes of the steps may have expired: called again, the
// steps would run again.
func (c *composition) tooOld() bool {
	return c.meta.Began != 0 && c.cfg.Conn.Clock.Millis()-c.meta.Began > wire.StepStore.Milliseconds()
}

// dead is the outcome of a composition that is too old to continue.
func (c *composition) dead() consumer.Outcome {
	return consumer.Dead("sent more than " + strconv.Itoa(int(wire.StepStore.Hours()/24)) +
		" days ago: the outcomes of its steps are no longer kept, and they would run again")
}

// failure is the envelope of a composition that ended with an error.
func (c *composition) failure(e *wire.Error) []byte {
	e.Service, e.Action = wire.ReservedService, c.request.Action
	e.Stamp(c.request)
	return wire.Failure(e)
}

// stage records the steps that may have effects from now on.
func (c *composition) stage(steps []*versions.Step) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range steps {
		if s.Refusal == nil && !c.safe(s) {
			c.begun[s] = true
		}
	}
}

// begin records that a step is called; false: the composition has its answer.
func (c *composition) begin(s *versions.Step, effects bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if effects && !c.over {
		c.begun[s] = true
	}
	return !c.over
}

// givesUp reports whether the failure of a step is the answer: no step can have had an
// effect, and none will. A request without a deadline waits instead.
func (c *composition) givesUp(s *versions.Step, effects, notSent bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if notSent {
		delete(c.begun, s)
	}
	if !c.again && len(c.begun) == 0 && (!effects || notSent) && c.request.Deadline != 0 {
		c.over = true
	}
	return c.over
}

func (c *composition) observedStep(ctx context.Context, s *versions.Step, args string) (wire.Reply, error) {
	return c.observed(ctx, c.request.Action, s, func(span *tracing.Call) (calls.Answer, error) { return c.step(ctx, s, args, span) })
}

// step calls one step under an ID derived from the request, so that it happens once even
// if another gateway continues the composition. The secret of the gateways keeps clients,
// which know the ID of the request, from finding it. It tries a call that could not be sent
// again once another step may have had an effect; before that, the failure is the answer.
func (c *composition) step(ctx context.Context, s *versions.Step, args string, span *tracing.Call) (calls.Answer, error) {
	call := newCall(s, args, &c.meta, c.request.ID, span)
	call.Keep, call.Shared, call.Internal, call.Store = true, true, true, wire.StepStore
	call.ID = wire.KeyedID(c.secret, "step", c.request.ID, s.Name)
	effects := !c.safe(s)
	waits := backoff.New(50*time.Millisecond, time.Second)
	for {
		if !c.begin(s, effects) {
			<-ctx.Done() // the concurrent step that failed ends this one
			return calls.Answer{}, ctx.Err()
		}
		if c.tooOld() {
			return calls.Answer{}, errTooOld
		}
		if c.request.Deadline == 0 { // it waits for its services without limit
			c.delivery.Extend(c.timeout + wire.DefaultTimeout)
		}
		answer, err := c.cfg.Caller.Do(ctx, call)
		if err == nil {
			c.mu.Lock()
			c.ended = append(c.ended, c.cfg.Conn.Keys.Record(s.Service, call.ID.String()))
			c.mu.Unlock()
			return answer, nil
		}
		failed, known := errors.AsType[*wire.Error](err)
		switch {
		case !known: // the context ended
			return calls.Answer{}, err
		case c.givesUp(s, effects, calls.NotSent(err)):
			return failedAnswer(failed, c.request), nil
		case !calls.NotSent(err):
			return calls.Answer{}, err
		}
		if wait := backoff.Pause(ctx, waits.Next()); wait != nil {
			return calls.Answer{}, err
		}
	}
}

// safe reports whether a step is known to have no effect.
func (c *composition) safe(s *versions.Step) bool {
	service := c.cfg.Services.Services()[s.Service]
	if service == nil || service.Manifest == nil {
		return false
	}
	action := service.Action(s.Action)
	return action == nil || action.Safe // an action that does not exist has no effect
}
