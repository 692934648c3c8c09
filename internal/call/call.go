package call

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/registry"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/cache"
)

// MaxDepth is how many services may call each other in a row. More is a cycle, or
// as slow as one.
const MaxDepth = 8

// Caller calls actions. It is safe for concurrent use.
type Caller struct {
	client *caller.Client
	cache  *cache.Cache
	limit  *Limit
	find   Finder
	log    *slog.Logger
}

// Finder returns a service by its name; nil: nothing is known of it.
type Finder func(ctx context.Context, service string) (*registry.Service, error)

// Config of a Caller. Client, Find and Logger are required.
type Config struct {
	// Client sends requests.
	Client *caller.Client
	// Find knows the services.
	Find Finder
	// Cache shares the answers of actions that allow it. Defaults to none: every
	// call is sent.
	Cache *cache.Cache
	// Limit bounds the calls in flight. Defaults to none.
	Limit *Limit
	// Logger takes failures that callers see as INTERNAL.
	Logger *slog.Logger
}

// New returns a caller over what the config names. It closes none of it.
func New(cfg Config) *Caller {
	return &Caller{client: cfg.Client, cache: cfg.Cache, limit: cfg.Limit, find: cfg.Find, log: cfg.Logger}
}

// Call is one call of an action.
type Call struct {
	// Call is the request. Do and Send set Safe and Lane, and Timeout unless it is
	// set, as the service declares the action. ID, Shared and Store are for requests
	// that keep their outcome.
	caller.Call
	// Declared is the action as its service declares it; nil: it is looked up.
	Declared *wire.Action
	// Keep has the outcome of a safe action kept too, and takes no shared answer: the
	// same ID gets the same outcome.
	Keep bool
	// Wait sends the request also while no worker of the service is running.
	Wait bool
	// Cached says which cached answers the caller accepts. The zero value: any.
	Cached Cached
	// Place is the name under which Limit counts the call. Defaults to the service.
	Place string
	// Until ends the wait at a time, as a deadline of the context does, for callers
	// without such a context. The zero time: Timeout alone does.
	Until time.Time
	// Depth is how many calls led to this one.
	Depth int
	// Lanes are those held by the requests that wait for this call. See wire.LaneName.
	Lanes []string
}

func (c *Call) place() string {
	if c.Place != "" {
		return c.Place
	}
	return c.Service
}

// Cached says which cached answers a caller accepts (RFC 9111, section 5.2.1).
type Cached struct {
	// Skip bypasses the cache: nothing is read from it or stored.
	Skip bool
	// Refresh takes no stored answer, and replaces it.
	Refresh bool
	// Only takes a stored answer and nothing else.
	Only bool
	// Bounded takes no stored answer older than MaxAge.
	Bounded bool
	MaxAge  time.Duration
}

func (w *Cached) tooOld(a *cache.Answer) bool { return w.Bounded && !w.Only && a.Age > w.MaxAge }

// Answer is what a call got: an envelope, which may tell of an error.
type Answer struct {
	wire.Reply
	// Shared tells how the cache was involved; nil: not at all.
	Shared *SharedAnswer
}

// SharedAnswer is what the cache knows of an answer.
type SharedAnswer struct {
	cache.Answer
	// ETag identifies the envelope: a quoted digest.
	ETag string
	// Status is the HTTP status.
	Status int
}

// Do calls an action and waits for the answer: as long as the action may take, or
// until the context ends. An error is a *wire.Error, or the cause of the context
// when that ended first.
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

// Result is Do with the result alone, as JSON. The error of the service is a
// *wire.Error too.
func (c *Caller) Result(ctx context.Context, call *Call) (json.RawMessage, error) {
	answer, err := c.Do(ctx, call)
	if err != nil {
		return nil, err
	}
	result, failure := wire.ParseEnvelope(answer.Envelope)
	if failure != nil {
		return nil, failure
	}
	return result, nil
}

// Send calls an unsafe action and returns the ID of the request once it is
// accepted. Errors are those of Do.
func (c *Caller) Send(ctx context.Context, call *Call) (uuid.UUID, error) {
	if err := c.prepare(ctx, call); err != nil {
		return uuid.Nil, err
	}
	if err := c.answerable(ctx, call); err != nil {
		return uuid.Nil, c.failed(ctx, call, err)
	}
	if !c.enter(call) {
		return uuid.Nil, explain(call, ErrCrowded)
	}
	defer c.leave(call)
	id, err := c.client.Send(ctx, &call.Call)
	if err != nil {
		return uuid.Nil, c.failed(ctx, call, err)
	}
	return id, nil
}

// failed is the error that the caller gets.
func (c *Caller) failed(ctx context.Context, call *Call, err error) error {
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return context.Cause(ctx) // the caller was told to stop
	}
	e := explain(call, err)
	if e.Code == wire.CodeInternal && !errors.Is(err, caller.ErrDead) {
		c.log.ErrorContext(ctx, "a call failed", "service", call.Service, "action", call.Action, "request", call.ID, "error", err)
	}
	return e
}

// prepare completes a call by what its service declares, and refuses one that
// cannot be answered.
func (c *Caller) prepare(ctx context.Context, call *Call) error {
	if call.Declared == nil {
		service, err := c.find(ctx, call.Service)
		if err != nil {
			return c.failed(ctx, call, err)
		}
		if call.Declared = service.Action(call.Action); call.Declared == nil {
			if !service.Live() {
				return explain(call, ErrNoWorker)
			}
			return explain(call, errUnknownAction)
		}
	}
	call.Safe, call.Lane = call.Declared.Safe && !call.Keep, call.Declared.LaneOf(call.Args)
	if call.Safe && call.Shared { // nothing is kept that the ID could find
		call.ID, call.Shared, call.Store = uuid.Nil, false, 0
	}
	switch {
	case call.Lane != "" && slices.Contains(call.Lanes, wire.LaneName(call.Service, call.Lane)):
		return explain(call, errCycle)
	case call.Depth > MaxDepth:
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

// answerable reports why nobody could answer a request.
func (c *Caller) answerable(ctx context.Context, call *Call) error {
	if call.Wait {
		return nil
	}
	service, err := c.find(ctx, call.Service)
	if err == nil && !service.Live() && !c.known(ctx, call) {
		err = ErrNoWorker
	}
	return err
}

// known reports whether the ID of a shared call was used before: then the outcome
// exists, or will, although no worker is running.
func (c *Caller) known(ctx context.Context, call *Call) bool {
	if !call.Shared {
		return false
	}
	record, err := c.client.Record(ctx, call.Service, call.ID.String())
	return err == nil && record.State != wire.StateExpired && record.State != wire.StateCancelled
}

func (c *Caller) enter(call *Call) bool { return c.limit == nil || c.limit.Enter(call.place()) }

func (c *Caller) leave(call *Call) {
	if c.limit != nil {
		c.limit.Leave(call.place())
	}
}

// send sends the request and waits for the reply.
func (c *Caller) send(ctx context.Context, call *Call) (wire.Reply, error) {
	if err := c.answerable(ctx, call); err != nil {
		return wire.Reply{}, err
	}
	if !c.enter(call) {
		return wire.Reply{}, ErrCrowded
	}
	defer c.leave(call)
	reply, err := c.client.Do(ctx, &call.Call)
	if err != nil {
		return wire.Reply{}, err
	}
	// The caller may read next what it has just changed.
	if c.cache != nil && strings.Contains(reply.Meta, "tags=") {
		meta, _ := wire.ParseReplyMeta(reply.Meta) // without tags where it cannot be read
		c.Forget(call.Service, meta.Tags)
	}
	return reply, nil
}

// Forget drops the local cache entries with these tags. Tags of a composition name
// their service first: "users/user:1".
func (c *Caller) Forget(service string, tags []string) {
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

// runMargin is how long the cache waits beyond the run itself, for one that began
// anew elsewhere.
const runMargin = 2 * time.Second

// share answers from the cache, joins an identical call, or sends one for all who
// make it now.
func (c *Caller) share(ctx context.Context, call *Call, policy cache.Policy) (Answer, error) {
	q := cache.Query{
		Space: call.Service, Identity: withinLanes(call.Lanes, identity(call.Declared, call.Principal, call.Args)), Policy: policy,
		Refresh: call.Cached.Refresh, OnlyStored: call.Cached.Only, Inline: true,
	}
	if !q.Refresh {
		if local, found := c.cache.Local(q.Space, q.Identity); found && !call.Cached.tooOld(&local) {
			return answerOf(local, nil)
		}
	}
	if _, ends := ctx.Deadline(); !ends {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, call.Timeout+runMargin)
		defer cancel()
	} else {
		q.Inline = false
	}
	q.Tags = tags(call.Declared, call.Args)
	var made *shared
	own := *call // the caller may be gone when it runs
	run := func(ctx context.Context) cache.Outcome {
		made = c.run(ctx, &own)
		return made.outcome()
	}
	found, err := c.cache.Do(ctx, &q, run)
	if err == nil && !q.Refresh && call.Cached.tooOld(&found) {
		q.Refresh = true
		found, err = c.cache.Do(ctx, &q, run)
	}
	switch {
	case err != nil:
		return Answer{}, err
	case found.Source == cache.Led:
		return answerOf(found, made)
	default:
		return answerOf(found, nil)
	}
}

// run makes the answer that others share. Its failures are shared too.
func (c *Caller) run(ctx context.Context, call *Call) *shared {
	reply, err := c.send(ctx, call)
	if err != nil {
		return failed(explain(call, err))
	}
	meta, _ := wire.ParseReplyMeta(reply.Meta) // without a status where it cannot be read
	status := wire.StatusOf(reply.Envelope, meta.Status)
	if status == 0 {
		c.log.ErrorContext(ctx, "a service answered with no envelope", "service", call.Service, "action", call.Action, "request", call.ID)
		e := wire.NewError(wire.CodeInternal, "the service's answer cannot be read")
		e.Service, e.Action = call.Service, call.Action
		return failed(e)
	}
	return newShared(status, reply.Meta, reply.Envelope)
}

// answerOf is the answer that the cache gave; made: the leader's own.
func answerOf(found cache.Answer, made *shared) (Answer, error) {
	if made == nil {
		var err error
		if made, err = parseShared(found.Value); err != nil {
			return Answer{}, err
		}
	}
	return Answer{
		Reply:  wire.Reply{Meta: made.meta, Envelope: made.envelope},
		Shared: &SharedAnswer{Answer: found, ETag: made.etag, Status: made.status},
	}, nil
}

// OK reports whether the envelope of a shared answer is a success.
func (a *SharedAnswer) OK() bool { return a.Status < http.StatusMultipleChoices }

// Stored reports whether the answer is of an earlier run.
func (a *SharedAnswer) Stored() bool {
	switch a.Source {
	case cache.Local, cache.Shared, cache.Revalidating, cache.Stale:
		return true
	default:
		return false
	}
}

// EncodeArgs encodes arguments as a JSON array.
func EncodeArgs(args []any) (string, error) {
	list := make([]json.RawMessage, len(args))
	for i, arg := range args {
		text, err := json.Marshal(arg)
		if err != nil {
			return "", fmt.Errorf("argument %d: %w", i, err)
		}
		list[i] = text
	}
	text, err := json.Marshal(list)
	return string(text), err
}
