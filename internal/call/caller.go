package call

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/registry"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/cache"
	"github.com/oskadev/mailroom/internal/lograte"
)

// Caller calls actions. It is safe for concurrent use.
type Caller struct {
	client     *caller.Client
	cache      *cache.Cache
	limit      *Limit
	find       Finder
	log        *slog.Logger
	onInvalid  func(service string)
	unreadable lograte.Limiter // lines about answers that cannot be read
}

// Finder returns a service by its name; nil: the service is unknown.
type Finder func(ctx context.Context, service string) (*registry.Service, error)

// Config configures a Caller. Client, Find and Logger are required.
type Config struct {
	// Client sends requests.
	Client *caller.Client
	// Find finds services.
	Find Finder
	// Cache shares the answers of actions that allow it. Defaults to none: every
	// call is sent.
	Cache *cache.Cache
	// Limit bounds the calls in flight. Defaults to none.
	Limit *Limit
	// OnInvalid is called for each cache entry of a service that is not an answer. Defaults to
	// nil: no call.
	OnInvalid func(service string)
	// Logger receives the causes of failures that callers see as INTERNAL.
	Logger *slog.Logger
}

// New returns a caller. It closes none of the parts in its config.
func New(cfg Config) *Caller {
	return &Caller{client: cfg.Client, cache: cfg.Cache, limit: cfg.Limit, find: cfg.Find, log: cfg.Logger, onInvalid: cfg.OnInvalid}
}

// Do calls an action and waits for the answer, at most for the timeout of the action or
// until the context ends. An error is a *wire.Error, or the cause of a context that was
// cancelled.
func (c *Caller) Do(ctx context.Context, call *Call) (Answer, error) {
	if err := c.prepare(ctx, call); err != nil {
		return Answer{}, err
	}
	var answer Answer
	var err error
	if policy, share := Policy(call.Declared); share && c.cache != nil && !call.Keep && !call.Cached.Skip {
		answer, err = c.share(ctx, call, policy)
	} else {
		answer.Reply, err = c.send(ctx, call)
	}
	if err != nil {
		return Answer{}, c.failed(ctx, call, err)
	}
	return answer, nil
}

// Result calls an action and returns the result of its envelope, as JSON. An error of the
// service is a *wire.Error too.
func (c *Caller) Result(ctx context.Context, call *Call) (json.RawMessage, error) {
	answer, err := c.Do(ctx, call)
	if err != nil {
		return nil, err
	}
	return answer.Result()
}

// Send sends the request of an unsafe action and returns its ID once it is accepted. Errors
// are those of Do.
func (c *Caller) Send(ctx context.Context, call *Call) (uuid.UUID, error) {
	if err := c.prepare(ctx, call); err != nil {
		return uuid.Nil, err
	}
	if err := c.answerable(ctx, call); err != nil {
		return uuid.Nil, c.failed(ctx, call, err)
	}
	if !c.enter(ctx, call) {
		return uuid.Nil, explain(call, errTooManyCalls)
	}
	defer c.leave(call)
	id, err := c.client.Send(ctx, &call.Call)
	if err != nil {
		return uuid.Nil, c.failed(ctx, call, err)
	}
	return id, nil
}

// failed returns the error that the caller gets, and logs the cause of INTERNAL.
func (c *Caller) failed(ctx context.Context, call *Call, err error) error {
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return context.Cause(ctx) // the caller itself stops
	}
	e := explain(call, err)
	if e.Code == wire.CodeInternal && !errors.Is(err, caller.ErrDead) {
		c.log.With(call.logIDs()).ErrorContext(ctx, "a call failed", "service", call.Service, "action", call.Action, "error", err)
	}
	return e
}

// prepare completes a call by the declaration of its action. It refuses a call without
// one, a cycle, and a deadline that has passed.
func (c *Caller) prepare(ctx context.Context, call *Call) error {
	if call.Declared == nil {
		service, err := c.find(ctx, call.Service)
		if err != nil {
			return c.failed(ctx, call, err)
		}
		if call.Declared = service.Action(call.Action); call.Declared == nil {
			if !service.Live() {
				return explain(call, errNoWorker)
			}
			return explain(call, errUnknownAction)
		}
	}
	call.Safe, call.Lane = call.Declared.Safe && !call.Keep, call.Declared.LaneOf(call.Args)
	if call.Safe && call.Shared { // a safe request keeps no outcome that the ID could find
		call.ID, call.Shared, call.Store = uuid.Nil, false, 0
	}
	if c.limit != nil && call.Endless && !call.Safe && call.Lane == "" {
		call.Lane = c.backgroundLane(ctx, call)
	}
	switch {
	case call.Lane != "" && slices.Contains(call.Lanes, wire.LaneName(call.Service, call.Lane)):
		return explain(call, errCycle)
	case call.Depth > maxDepth:
		return explain(call, errTooDeep)
	}
	if call.Timeout <= 0 && !call.Endless {
		call.Timeout = call.Declared.Timeout()
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = call.Until
	}
	if !deadline.IsZero() {
		if call.Timeout = min(call.Timeout, time.Until(deadline)); call.Timeout <= 0 {
			return explain(call, caller.ErrTimeout)
		}
	}
	return nil
}

// Requests without a deadline that one principal may have running for each worker of a
// service: while others call the service, and otherwise. They are a quarter and three
// quarters of the requests that a worker runs at once by default.
const (
	crowdedBackground = 16
	loneBackground    = 48
)

// crowdedFor is the time for which the calls of others count.
const crowdedFor = time.Minute

// backgroundLane returns the lane of a call without a deadline. Only some requests of it are in
// the mailbox at once; the rest does not stand there before requests whose callers wait.
func (c *Caller) backgroundLane(ctx context.Context, call *Call) string {
	width, live := loneBackground, 1
	if c.limit.Crowded(call.place(), call.Principal.Key(), crowdedFor) {
		width = crowdedBackground
	}
	if service, err := c.find(ctx, call.Service); err == nil && service != nil {
		live = max(1, len(service.Workers))
	}
	return wire.BackgroundLane(call.Principal.Key(), width*live)
}

// answerable returns an error if no worker would answer a request.
func (c *Caller) answerable(ctx context.Context, call *Call) error {
	service, err := c.find(ctx, call.Service)
	switch {
	case err == nil && service != nil && service.Paused == registry.PauseRefuse && !c.known(ctx, call):
		return errPaused
	case call.Wait:
		return nil
	}
	if err == nil && !service.Live() && !c.known(ctx, call) {
		err = errNoWorker
	}
	return err
}

// known reports whether the ID of a shared call was used before: its outcome may exist
// although no worker is running.
func (c *Caller) known(ctx context.Context, call *Call) bool {
	if !call.Shared {
		return false
	}
	record, err := c.client.Record(ctx, call.Service, call.ID.String())
	return err == nil && record.State != wire.StateExpired && record.State != wire.StateCancelled
}

// enter waits until the call may be sent; false: it is refused.
func (c *Caller) enter(ctx context.Context, call *Call) bool {
	if c.limit == nil {
		return true
	}
	began := time.Now()
	call.principal = call.Principal.Key()
	if !c.limit.Enter(ctx, call.place(), call.principal, call.patience()) {
		return false
	}
	if call.Timeout > 0 {
		call.Timeout = max(call.Timeout-time.Since(began), time.Millisecond)
	}
	return true
}

func (c *Caller) leave(call *Call) {
	if c.limit != nil {
		c.limit.Leave(call.place(), call.principal)
	}
}

// observe tells the limit how long the request ran and how long it took besides, if several
// principals call the place.
func (c *Caller) observe(call *Call, sent time.Time, reply *wire.Reply) {
	if c.limit == nil || reply.Replayed || !c.limit.Crowded(call.place(), call.principal, alone) {
		return
	}
	if meta, err := wire.ParseReplyMeta(reply.Meta); err == nil {
		c.limit.Ran(call.place(), call.principal, meta.Run, time.Since(sent))
	}
}

// send sends the request and waits for the reply.
func (c *Caller) send(ctx context.Context, call *Call) (wire.Reply, error) {
	if err := c.answerable(ctx, call); err != nil {
		return wire.Reply{}, err
	}
	if !c.enter(ctx, call) {
		return wire.Reply{}, errTooManyCalls
	}
	defer c.leave(call)
	sent := time.Now()
	reply, err := c.client.Do(ctx, &call.Call)
	if err != nil {
		return wire.Reply{}, err
	}
	c.observe(call, sent, &reply)
	// The next call of the same caller must see its change.
	if c.cache != nil && strings.Contains(reply.Meta, "tags=") {
		meta, _ := wire.ParseReplyMeta(reply.Meta) // an unreadable meta has no tags
		c.forget(call.Service, meta.Tags)
	}
	return reply, nil
}

// forget drops the local cache entries with these tags. Tags of a composition begin with
// their service: "users/user:1".
func (c *Caller) forget(service string, tags []string) {
	if service != wire.ReservedService {
		c.cache.Drop(service, tags...)
		return
	}
	for _, tag := range tags {
		if service, tag, ok := strings.Cut(tag, "/"); ok {
			c.cache.Drop(service, tag)
		}
	}
}
