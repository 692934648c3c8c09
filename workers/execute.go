package workers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"time"

	"github.com/oskadev/mailroom/bus/consumer"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/cache"
	"github.com/oskadev/mailroom/internal/lazyctx"
)

// Handler runs one request of an action; args are its positional arguments. Its result is
// encoded as JSON.
type Handler func(ctx context.Context, args []json.RawMessage) (any, error)

// Middleware wraps a handler. InfoFrom(ctx) returns its action.
type Middleware func(next Handler) Handler

// executor runs the requests of one service.
type executor struct {
	service     *Service
	log         *slog.Logger
	now         func() time.Time // of Redis, as deadlines are
	handlers    map[string]Handler
	invalidator *cache.Invalidator // nil: nothing is cached
	calls       *calls
}

func newExecutor(s *Service, log *slog.Logger, now func() time.Time) *executor {
	e := &executor{service: s, log: log, now: now, handlers: make(map[string]Handler, len(s.actions))}
	for _, a := range s.actions {
		handler := a.call
		for _, wrap := range slices.Backward(s.middleware) {
			handler = wrap(handler)
		}
		e.handlers[a.declared.Name] = handler
	}
	return e
}

// run runs a delivery, and returns its outcome.
func (e *executor) run(ctx context.Context, d *consumer.Delivery) consumer.Outcome {
	r := &d.Request
	a := e.service.byName[r.Action]
	if a == nil {
		return e.failure(r, Fail(CodeNotSupported, http.StatusNotImplemented,
			fmt.Sprintf("%s %s has no action %.64q", e.service.name, e.service.version, r.Action)), wire.ReplyMeta{})
	}
	args := splitArray(r.Args)
	timeout := a.timeout
	if r.Deadline != 0 {
		timeout = time.UnixMilli(r.Deadline).Sub(e.now())
	}
	began := time.Now()
	h := &handling{Context: lazyctx.WithDeadline(ctx, began.Add(timeout)), state: state{
		delivery: d, calls: e.calls, info: Info{RequestID: r.ID, Attempt: d.Attempt, Service: e.service.name, Action: a.declared.Name},
	}}
	defer h.Cancel(nil)
	if !a.acquire(h) { //nolint:contextcheck // h is made of ctx
		if errors.Is(h.Err(), context.DeadlineExceeded) {
			return consumer.Expired()
		}
		return consumer.Retry()
	}
	body, err := e.call(h, a, args) //nolint:contextcheck // h is made of ctx
	ran := time.Since(began)
	a.release()
	tags := e.invalidate(ctx, a, r, &h.state)
	if err != nil {
		return e.failed(ctx, d, err, wire.ReplyMeta{Run: ran, Tags: tags})
	}
	meta := h.state.replyMeta()
	meta.Run, meta.Tags = ran, tags
	return consumer.Done(meta, wire.Success(body), 0)
}

// call runs the handler and encodes its result as JSON. A panic of either becomes an
// error and is logged with its stack.
func (e *executor) call(ctx context.Context, a *action, args []json.RawMessage) (body []byte, err error) {
	defer e.recovered(ctx, a.declared.Name, &err)
	result, err := e.handlers[a.declared.Name](ctx, args)
	if err != nil {
		return nil, withDetails(err)
	}
	if body, err = json.Marshal(result); err != nil {
		return nil, fmt.Errorf("encode the result as JSON: %w", err)
	}
	return body, nil
}

// withDetails encodes the details of a service's own error here, where a panic of their
// MarshalJSON is recovered.
func withDetails(err error) error {
	own, ok := errors.AsType[*Error](err)
	if !ok || own.Details == nil {
		return err
	}
	details, failed := json.Marshal(own.Details)
	if failed != nil {
		return own.WithDetails(nil).WithCause(fmt.Errorf("encode the details as JSON: %w", failed))
	}
	return own.WithDetails(json.RawMessage(details))
}

func (e *executor) recovered(ctx context.Context, action string, err *error) {
	if p := recover(); p != nil {
		e.log.With(logIDs(ctx)).ErrorContext(ctx, "handler panicked", "service", e.service.name, "action", action, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		*err = errPanicked
	}
}

// logIDs returns the IDs of the request that a handler runs, for a log line.
func logIDs(ctx context.Context) slog.Attr {
	if s := stateOf(ctx); s != nil && s.delivery != nil {
		return s.delivery.LogIDs()
	}
	return slog.Attr{}
}

var errPanicked = errors.New("handler panicked")

// failed turns a handler's error into an outcome. The request is delivered again where the
// handler returned NoOutcome, or was interrupted because its worker stops or has lost the
// request.
func (e *executor) failed(ctx context.Context, d *consumer.Delivery, err error, meta wire.ReplyMeta) consumer.Outcome {
	r := &d.Request
	var none *noOutcomeError
	var own *Error
	log := func() *slog.Logger { return e.log.With(d.LogIDs()).With("service", e.service.name, "action", r.Action) }
	switch {
	case errors.As(err, &none):
		log().WarnContext(ctx, "a request has no outcome, it will be delivered again", "error", none.cause)
		return none.outcome
	case errors.As(err, &own):
		if own.cause != nil {
			log().WarnContext(ctx, "a request failed", "code", own.Code, "error", own.cause)
		}
		return e.failure(r, own, meta)
	case errors.Is(context.Cause(ctx), consumer.ErrCancelled):
		return consumer.Cancelled()
	case ctx.Err() != nil:
		log().WarnContext(ctx, "a handler was interrupted", "cause", context.Cause(ctx), "error", err)
		return consumer.Retry()
	case errors.Is(err, context.DeadlineExceeded):
		log().WarnContext(ctx, "a handler did not end in time", "error", err)
		if !r.Safe() {
			meta.Location = wire.Location(e.service.name, r.ID)
		}
		return e.failure(r, Fail(CodeTimeout, http.StatusGatewayTimeout, "the service did not end in time"), meta)
	default:
		if !errors.Is(err, errPanicked) {
			log().ErrorContext(ctx, "a request failed", "error", err)
		}
		return e.failure(r, Fail(CodeInternal, http.StatusInternalServerError, "internal error"), meta)
	}
}

// failure returns the outcome of an error, with this metadata and the error's status.
func (e *executor) failure(r *wire.Request, err *Error, meta wire.ReplyMeta) consumer.Outcome {
	status := err.Status
	if status < http.StatusBadRequest || status > 599 {
		status = http.StatusInternalServerError
	}
	body := wire.Error{
		Code: wire.Code(err.Code), Message: err.Message, Status: status, Details: err.Details,
		Service: e.service.name, Action: r.Action,
	}
	if err.service != "" {
		body.Service, body.Action = err.service, err.action
	}
	body.Stamp(r)
	meta.Status = status
	keep := time.Duration(0)
	if body.Code == wire.CodeBadRequest { // another build may accept the same request
		keep = consumer.NoEffectStore
	}
	return consumer.Done(meta, wire.Failure(&body), keep)
}

// acquire takes one of the action's own slots, if the action has a limit. It reports false
// when the context ends first.
func (a *action) acquire(ctx context.Context) bool {
	if a.slots == nil {
		return true
	}
	select {
	case a.slots <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (a *action) release() {
	if a.slots != nil {
		<-a.slots
	}
}
