package compose

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/oskadev/mailroom/api/exchange"
	"github.com/oskadev/mailroom/api/route"
	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/consumer"
	"github.com/oskadev/mailroom/bus/registry"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/backoff"
	calls "github.com/oskadev/mailroom/internal/call"
	"github.com/oskadev/mailroom/versions"
)

// planTTL is how long a plan is kept after it was last in force at any gateway.
const planTTL = 8 * 24 * time.Hour

// composer runs the compositions that gateways find in their mailbox.
type Composer struct {
	Config

	mu    sync.Mutex
	plans map[string]*versions.Plan // by hash, as they were read from Redis
	kept  map[string]time.Time      // when a plan was last kept in Redis
}

// planner knows the services and the plans in force.
type planner interface {
	Services() registry.Snapshot
	Plan(hash string) *versions.Plan
}

// composerConfig of a Composer. All but the limits are required.
type Config struct {
	Conn     *bus.Conn
	Caller   *calls.Caller
	Limit    *calls.Limit
	Services planner
	// IdleLimit and DrainLimit are those of a gateway as a worker: see consumer.Config.
	IdleLimit, DrainLimit time.Duration
	Log                   *slog.Logger
}

func New(cfg Config) *Composer {
	return &Composer{Config: cfg, plans: make(map[string]*versions.Plan), kept: make(map[string]time.Time)}
}

// keepAgain is how often a plan that is asked for is kept anew: a Redis that lost its
// memory has it again then, for gateways with another file.
const keepAgain = time.Minute

// brieflyKept is how long the outcome of a composition is kept that nothing came of:
// shorter than its caller is told to wait, long enough for a reply that was lost.
const brieflyKept = 900 * time.Millisecond

// compositions is how many a gateway runs at once.
const compositions = 256

// consume serves the mailbox of compositions until the context ends.
func (c *Composer) Consume(ctx context.Context) {
	consumer, err := consumer.New(c.Conn, consumer.Config{
		Manifest: &wire.Manifest{Service: wire.ReservedService, Version: "1", Protocol: 1},
		Hidden:   true, Concurrency: compositions, IdleLimit: c.IdleLimit, DrainLimit: c.DrainLimit, Run: c.run,
	})
	if err == nil {
		err = consumer.Run(ctx)
	}
	if err != nil {
		c.Log.Error("compositions are not served here", "error", err)
	}
}

// keep makes sure that a plan can be read by whoever goes on with a composition.
func (c *Composer) Keep(ctx context.Context, p *versions.Plan) error {
	c.mu.Lock()
	fresh := time.Since(c.kept[p.Hash()]) < keepAgain
	c.mu.Unlock()
	if fresh {
		return nil
	}
	if err := c.Conn.Set(ctx, c.Conn.Keys.Plan(p.Hash()), p.Source(), planTTL); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept[p.Hash()], c.plans[p.Hash()] = time.Now(), p
	return nil
}

// plan gives the one that a composition began with.
func (c *Composer) plan(ctx context.Context, hash string) (*versions.Plan, error) {
	c.mu.Lock()
	p := c.plans[hash]
	c.mu.Unlock()
	if p == nil {
		p = c.Services.Plan(hash)
	}
	if p != nil {
		return p, nil
	}
	source, err := c.Conn.Get(ctx, c.Conn.Keys.Plan(hash))
	if err != nil {
		return nil, err
	}
	if p, err = versions.ParsePlan(source); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.plans[hash] = p
	return p, nil
}

// composition is one run of a request from the mailbox.
type composition struct {
	*Composer
	delivery *consumer.Delivery
	request  *wire.Request
	meta     wire.Meta
	timeout  time.Duration // of its plan
	again    bool          // it was begun before, by whomever

	mu    sync.Mutex
	begun map[*versions.Step]bool // what with effects may have happened, or is about to
	over  bool                    // a step that could not be asked is the answer
}

// run runs one delivery. What is not known of a step leaves the request without an
// outcome: it is delivered again, and no step that has happened happens again.
func (c *Composer) run(ctx context.Context, d *consumer.Delivery) (consumer.Outcome, bool) {
	one := &composition{Composer: c, delivery: d, request: &d.Request, meta: d.Request.ParseMeta(), again: d.Attempt > 1, begun: make(map[*versions.Step]bool)}
	log := c.Log.With("composition", d.Request.Action, "request", d.Request.ID)
	if one.tooOld() {
		return one.dead()
	}
	plan, err := c.plan(ctx, one.meta.Plan)
	if errors.Is(err, bus.ErrNoValue) {
		return consumer.Outcome{Dead: "its plan is not kept any more"}, false
	}
	if err != nil {
		log.WarnContext(ctx, "a composition's plan cannot be read, it will be delivered again", "error", err)
		return consumer.Outcome{}, false
	}
	one.timeout = plan.Timeout
	if d.Request.Deadline != 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.UnixMilli(d.Request.Deadline).Sub(c.Conn.Clock.Now()))
		defer cancel()
	}
	began := time.Now()
	answer, err := plan.Run(ctx, versions.Input{Args: d.Request.Args, Principal: one.meta.Principal, Stage: one.stage}, one.step)
	if errors.Is(err, errTooOld) {
		return one.dead()
	}
	if err != nil {
		log.WarnContext(ctx, "a composition has no outcome yet", "error", err)
		return consumer.Outcome{}, false
	}
	o := consumer.Outcome{Meta: wire.ReplyMeta{Status: answer.Status, Location: answer.Location}, Envelope: []byte(answer.Envelope)}
	if answer.Refusal != nil {
		if answer.Refusal.Status == http.StatusInternalServerError {
			log.ErrorContext(ctx, "a composition failed", "error", answer.Refusal.Message)
			answer.Refusal.Message = "internal error"
		}
		o = one.failure(answer.Refusal)
	}
	if one.over { // nothing has happened: asked again under the same ID, it is tried again
		o.Keep = brieflyKept
	}
	o.Meta.Run, o.Meta.Timing, o.Meta.Tags = time.Since(began), timings(answer.Timings), answer.Tags
	return o, true
}

var errTooOld = errors.New("it was asked for too long ago")

// tooOld reports whether what the steps of a composition have done may be forgotten by
// now: asked again, they would do it again.
func (c *composition) tooOld() bool {
	return c.meta.Began != 0 && c.Conn.Clock.Millis()-c.meta.Began > wire.StepStore.Milliseconds()
}

// dead gives a composition up that cannot be gone on with.
func (c *composition) dead() (consumer.Outcome, bool) {
	return consumer.Outcome{Dead: "asked for more than " + strconv.Itoa(int(wire.StepStore.Hours()/24)) +
		" days ago: what its steps have done is not kept any more, and they would run again"}, false
}

func (c *composition) failure(e *wire.Error) consumer.Outcome {
	e.Service, e.Action = wire.ReservedService, c.request.Action
	e.Stamp(c.request)
	return consumer.Outcome{Meta: wire.ReplyMeta{Status: e.Status}, Envelope: wire.Failure(e)}
}

// timings tells when each step was under way, for Server-Timing.
func timings(steps []versions.Timing) string {
	b := make([]byte, 0, 64)
	for i, t := range steps {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = append(append(b, t.Step...), `;desc="from `...)
		b = append(wire.AppendMillis(b, t.Began), `";dur=`...)
		b = wire.AppendMillis(b, t.Took)
	}
	return string(b)
}

// newCall is the call of a step, as a part of a request.
func newCall(s *versions.Step, args string, own *wire.Meta, id string) *calls.Call {
	meta := wire.Meta{
		RequestID: own.RequestID, TraceParent: own.TraceParent, Version: own.Version, Caller: wire.ReservedService, Depth: own.Depth + 1,
	}
	if meta.RequestID == "" {
		meta.RequestID = id
	}
	return &calls.Call{
		Call:  caller.Call{Service: s.Service, Action: s.Action, Args: args, Principal: own.Principal, Meta: meta.Encode()},
		Depth: meta.Depth,
	}
}

// stage notes which steps may have effects from now on.
func (c *composition) stage(steps []*versions.Step) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range steps {
		if s.Refusal == nil && !c.safe(s) {
			c.begun[s] = true
		}
	}
}

// begin notes that a step is asked for; false: the composition has its answer.
func (c *composition) begin(s *versions.Step, effects bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if effects && !c.over {
		c.begun[s] = true
	}
	return !c.over
}

// givesUp reports whether a failure of a step is the answer: nothing can have
// happened, neither by it nor by any other, and nothing will. A request without a
// deadline waits instead.
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

// step asks for a step of a composition that is a request itself: under an ID of
// its own, so that it happens once, whoever goes on with the composition. What could
// not be sent is tried again once something may have happened; before, that the
// service cannot be reached is the answer.
func (c *composition) step(ctx context.Context, s *versions.Step, args string) (wire.Reply, error) {
	q := newCall(s, args, &c.meta, c.request.ID)
	q.Keep, q.Shared, q.Store, q.ID = true, true, wire.StepStore, wire.DerivedID("step", c.request.ID, s.Name)
	effects := !c.safe(s)
	waits := backoff.New(50*time.Millisecond, time.Second)
	for {
		if !c.begin(s, effects) {
			<-ctx.Done() // the step beside it that failed ends this one
			return wire.Reply{}, ctx.Err()
		}
		if c.tooOld() {
			return wire.Reply{}, errTooOld
		}
		if c.request.Deadline == 0 { // it waits for its services as long as that takes
			c.delivery.Extend(c.timeout + wire.DefaultTimeout)
		}
		answer, err := c.Caller.Do(ctx, q)
		if err == nil {
			return answer.Reply, nil
		}
		failed, known := errors.AsType[*wire.Error](err)
		switch {
		case !known: // told to stop
			return wire.Reply{}, err
		case c.givesUp(s, effects, calls.NotSent(err)):
			return failedReply(failed, c.request), nil
		case !calls.NotSent(err):
			return wire.Reply{}, err
		}
		if wait := backoff.Pause(ctx, waits.Next()); wait != nil {
			return wire.Reply{}, err
		}
	}
}

func (c *composition) safe(s *versions.Step) bool {
	service := c.Services.Services()[s.Service]
	if service == nil || service.Manifest == nil {
		return false
	}
	action := service.Action(s.Action)
	return action == nil || action.Safe // an action that does not exist changes nothing
}

// failedReply is the reply of a step that got none from its service.
func failedReply(failed *wire.Error, r *wire.Request) wire.Reply {
	e := *failed
	e.Stamp(r)
	meta := wire.ReplyMeta{Status: e.Status}
	return wire.Reply{Meta: string(meta.Append(nil)), Envelope: string(wire.Failure(&e))}
}

// read runs a plan that only reads in this gateway. Each step is shared and cached as
// its service declares. An error is a *wire.Error, or what ended the run.
func (c *Composer) Read(in *exchange.Request, r *route.Route, args string) (wire.Reply, wire.ReplyMeta, error) {
	place := r.Plan.Name()
	if !c.Limit.Enter(place) {
		e := wire.NewError(wire.CodeOverloaded, "too many calls of "+place+" are in flight here")
		e.RetryAfter = time.Second
		return wire.Reply{}, wire.ReplyMeta{}, e
	}
	defer c.Limit.Leave(place)
	ends := in.Began.Add(r.Plan.Timeout)
	request := &wire.Request{ID: in.RequestID, Action: r.Action.Name}
	meta := wire.Meta{TraceParent: in.Trace, Version: in.Version, Principal: in.Principal}
	if in.OwnID {
		meta.RequestID = in.RequestID
		request.ID, request.Meta = in.ID.String(), in.EncodeMeta("", 0)
	}
	// Each step ends in time by itself: a context with a deadline would cost more.
	answer, err := r.Plan.Run(context.Background(), versions.Input{Args: args, Principal: in.Principal}, func(ctx context.Context, step *versions.Step, args string) (wire.Reply, error) {
		q := newCall(step, args, &meta, request.ID)
		q.Until = ends
		answer, err := c.Caller.Do(ctx, q)
		if failed, known := errors.AsType[*wire.Error](err); known {
			return failedReply(failed, request), nil
		}
		return answer.Reply, err
	})
	if err != nil {
		return wire.Reply{}, wire.ReplyMeta{}, err
	}
	if e := answer.Refusal; e != nil {
		if e.Status == http.StatusInternalServerError {
			c.Log.Error("a composition failed", "composition", r.Action.Name, "request", in.ID, "error", e.Message)
			return wire.Reply{}, wire.ReplyMeta{}, wire.NewError(wire.CodeInternal, "internal error")
		}
		e.Service, e.Action = wire.ReservedService, r.Action.Name
		e.Stamp(request)
		answer.Envelope = string(wire.Failure(e))
	}
	return wire.Reply{Envelope: answer.Envelope},
		wire.ReplyMeta{Status: answer.Status, Location: answer.Location, Timing: timings(answer.Timings)}, nil
}
