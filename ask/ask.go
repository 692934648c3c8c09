package ask

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/registry"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/cache"
)

// MostDepth is how many services may ask each other in a row: more is a circle, or
// will soon be as slow as one.
const MostDepth = 8

// localBytes bounds the local cache entries of a process that serves, which has other work
// for its memory than a gateway.
const localBytes = 16 << 20

// Config of an Asker. All but the last two are required.
type Config struct {
	// Conn is the connection to the bus.
	Conn *bus.Conn
	// CacheConn is that to the cache's Redis.
	CacheConn *bus.Conn
	// Role is the service that asks.
	Role string
	// Logger takes what operators need to know. Defaults to slog.Default().
	Logger *slog.Logger
}

// Asker asks on behalf of one service. It is safe for concurrent use.
type Asker struct {
	client  *caller.Client
	places  Places // nil: as many as ask
	cache   *cache.Cache
	service func(ctx context.Context, name string) (*registry.Service, error)
	log     *slog.Logger
	close   func()
}

// Places bounds how many requests to one service are in flight.
type Places interface {
	// Enter takes a place; false: there is none. Who got one leaves.
	Enter(service string) bool
	Leave(service string)
}

// Over makes an asker of what a process has already: a gateway. It is not closed.
func Over(client *caller.Client, shared *cache.Cache, places Places, services func() registry.Snapshot, log *slog.Logger) *Asker {
	return &Asker{client: client, cache: shared, places: places, log: log, service: func(_ context.Context, name string) (*registry.Service, error) {
		return services()[name], nil
	}}
}

// New starts an asker. Close it after its last question.
func New(cfg Config) (*Asker, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	rdb := cfg.CacheConn.NewClient()
	shared, err := cache.New(rdb, cache.Config{Namespace: cfg.Conn.Keys.Namespace(), LocalBytes: localBytes, Logger: cfg.Logger})
	if err != nil {
		_ = rdb.Close()
		return nil, fmt.Errorf("the cache: %w", err)
	}
	services := registry.NewFollower(cfg.Conn)
	a := &Asker{
		client: caller.New(cfg.Conn, caller.Config{Role: cfg.Role}), cache: shared, service: services.Follow, log: cfg.Logger,
	}
	ctx, stop := context.WithCancel(context.Background())
	var looking sync.WaitGroup
	looking.Go(func() { services.Run(ctx) })
	a.close = func() {
		stop()
		looking.Wait()
		shared.Close()
		a.client.Close()
		_ = rdb.Close()
	}
	return a, nil
}

// Close ends the asker; who still waits is told so.
func (a *Asker) Close() { a.close() }

// Question is one request to a service.
type Question struct {
	Service string
	Action  string
	// Args is a JSON array.
	Args string
	// ID is that of an unsafe request: sent again under the same one, it runs no
	// second time.
	ID uuid.UUID
	// Store is how long the outcome of an unsafe request is kept.
	Store time.Duration
	// Keep has the outcome of a safe request kept too, and no shared answer taken: asked
	// again, it gives what it gave.
	Keep bool
	// Principal is on whose behalf it is asked; nil: nobody had to say.
	Principal *wire.Principal
	// Meta travels along, but for the principal. Its Depth and Lanes are those of
	// the question.
	Meta wire.Meta
}

// Do asks, and gives the result as JSON. It waits as long as the action may take,
// or until the context ends. An error is a *Error.
func (a *Asker) Do(ctx context.Context, q *Question) (json.RawMessage, error) {
	reply, err := a.Ask(ctx, q)
	if err != nil {
		return nil, err
	}
	return result(reply.Envelope)
}

// Ask is Do with the answer as it came, also one that tells of a failure.
func (a *Asker) Ask(ctx context.Context, q *Question) (wire.Reply, error) {
	action, err := a.find(ctx, q)
	if err != nil {
		return wire.Reply{}, explain(q, err)
	}
	question := caller.NewCall(action, q.Service, q.Args)
	if f := refuse(q, question.Lane); f != nil {
		return wire.Reply{}, f
	}
	question.Meta, question.Principal = q.Meta.Encode(), q.Principal
	if deadline, ok := ctx.Deadline(); ok {
		question.Timeout = min(question.Timeout, time.Until(deadline))
	}
	if question.Timeout <= 0 {
		return wire.Reply{}, explain(q, caller.ErrTimeout)
	}
	reply, err := a.answer(ctx, q, action, &question)
	if err != nil {
		if errors.Is(err, context.Canceled) && ctx.Err() != nil {
			return wire.Reply{}, context.Cause(ctx) // who asked is told to stop: it is no answer
		}
		f := explain(q, err)
		if f.Code == wire.CodeInternal {
			a.log.ErrorContext(ctx, "a service could not be asked", "service", q.Service, "action", q.Action, "error", err)
		}
		return wire.Reply{}, f
	}
	return reply, nil
}

// send asks the service itself, where there is a place.
func (a *Asker) send(ctx context.Context, question *caller.Call) (wire.Reply, error) {
	if a.places != nil {
		if !a.places.Enter(question.Service) {
			return wire.Reply{}, &caller.OverloadedError{Service: question.Service, RetryAfter: time.Second}
		}
		defer a.places.Leave(question.Service)
	}
	return a.client.Do(ctx, question)
}

// find gives the action as its service declares it.
func (a *Asker) find(ctx context.Context, q *Question) (*wire.Action, error) {
	service, err := a.service(ctx, q.Service)
	switch {
	case err != nil:
		return nil, err
	case service == nil || !service.Live():
		return nil, fmt.Errorf("%w of %s is running", errNoWorker, q.Service)
	}
	for i := range service.Manifest.Actions {
		if action := &service.Manifest.Actions[i]; action.Name == q.Action {
			return action, nil
		}
	}
	return nil, unknown(q, q.Action)
}

// refuse refuses what could never be answered: a request that waits for its turn
// in a lane that is held by one that waits for it.
func refuse(q *Question, lane string) *Error {
	f := &Error{Status: http.StatusLoopDetected, Service: q.Service, Action: q.Action}
	switch {
	case lane != "" && slices.Contains(q.Meta.Lanes, wire.LaneName(q.Service, lane)):
		f.Code = codeCycle
		f.Message = fmt.Sprintf("%s waits for its turn in the lane %s of %s, which is held by a request that waits for it", q.Action, lane, q.Service)
	case q.Meta.Depth > MostDepth:
		f.Code = codeTooDeep
		f.Message = fmt.Sprintf("%d services have asked each other in a row, and %s would be one more", MostDepth, q.Service)
	default:
		return nil
	}
	return f
}

// answer asks once, or shares the answer of somebody who asks the same.
func (a *Asker) answer(ctx context.Context, q *Question, action *wire.Action, question *caller.Call) (wire.Reply, error) {
	policy, shared := Policy(action)
	if !shared || q.Keep {
		if question.Safe = question.Safe && !q.Keep; !question.Safe {
			question.ID, question.Shared, question.Store = q.ID, true, q.Store
		}
		reply, err := a.send(ctx, question)
		if err != nil {
			return wire.Reply{}, err
		}
		if said, err := wire.ParseReplyMeta(reply.Meta); err == nil && len(said.Tags) > 0 {
			a.cache.Drop(q.Service, said.Tags...) // who asked has changed it, and may read it next
		}
		return reply, nil
	}
	if deadline, ok := ctx.Deadline(); ok { // which the context of a composition does not watch itself
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline)
		defer cancel()
	}
	asked := *question // who asks may be gone when it runs
	answer, err := a.cache.Do(ctx, &cache.Query{
		Space: q.Service, Identity: within(q.Meta.Lanes, Identity(action, q.Principal, q.Args)), Tags: Tags(action, q.Args), Policy: policy,
	}, func(ctx context.Context) cache.Outcome {
		reply, err := a.send(ctx, &asked)
		if err != nil {
			f := explain(q, err)
			e := wire.Error{Code: f.Code, Status: f.Status, Message: f.Message, Service: f.Service, Action: f.Action}
			return Shared{Status: f.Status, Envelope: string(wire.Failure(e))}.Outcome()
		}
		status := http.StatusOK
		if _, err := result(reply.Envelope); err != nil {
			status = http.StatusInternalServerError
			if f, ok := errors.AsType[*Error](err); ok && f.Status >= http.StatusBadRequest {
				status = f.Status
			}
		}
		return Shared{Status: status, Meta: reply.Meta, Envelope: reply.Envelope}.Outcome()
	})
	if err != nil {
		return wire.Reply{}, err
	}
	kept, err := ParseShared(answer.Value)
	return wire.Reply{Meta: kept.Meta, Envelope: kept.Envelope}, err
}
