package workers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/call"
	"github.com/oskadev/mailroom/internal/tracing"
)

// callStore is the minimum time for which the outcome of a handler's unsafe call is
// stored. A request that is delivered again within that time does not repeat the call.
const callStore = time.Hour

// Call calls an action of another service from within a handler, and returns its result
// as JSON; see [CallFor] for a typed result. Arguments are encoded as JSON.
//
// Caching and lanes work as for a call at the gateway. The call has the deadline, trace,
// principal and version of the handler's own request. The ID of an unsafe call is derived
// from the handler's request, the action, the arguments and the number of equal calls
// before. If the handler's request is delivered again, the call therefore returns the
// outcome of the first call, and the action does not run twice.
//
// A failure is an [*Error]: an error of the other service, which a handler may return
// unchanged; or UNAVAILABLE, OVERLOADED or TIMEOUT; or NOT_SUPPORTED for an action that
// does not exist; or ASK_CYCLE (508) for a call that would wait in a lane held by a request
// that waits for this call; or ASK_TOO_DEEP (508) for more than eight calls in a row. If
// ctx ends first, Call returns its cause. Outside a handler, Call returns an error.
//
// A service with its own Redis user needs the right to call: see
// `mailroom acl worker --asks`.
func Call(ctx context.Context, service, action string, args ...any) (json.RawMessage, error) {
	s := stateOf(ctx)
	if s == nil || s.delivery == nil || s.calls == nil {
		return nil, errors.New("workers.Call: the context is not that of a handler")
	}
	text, err := call.EncodeArgs(args)
	if err != nil {
		return nil, fmt.Errorf("call %s %s: %w", service, action, err)
	}
	process, err := s.calls.process() //nolint:contextcheck // it lives until it is closed
	if err != nil {
		return nil, err
	}
	span := s.calls.tracer.Call(ctx, service, action, "")
	answer, err := process.Do(ctx, s.newCall(service, action, text, span))
	span.End(answer.Source(), answer.Status(err))
	var result json.RawMessage
	if err == nil {
		result, err = answer.Result()
	}
	if failure, ok := errors.AsType[*wire.Error](err); ok {
		return nil, newCallError(failure)
	}
	return result, err
}

// CallFor calls an action like [Call], and decodes its result as R.
func CallFor[R any](ctx context.Context, service, action string, args ...any) (R, error) {
	var result R
	text, err := Call(ctx, service, action, args...)
	if err != nil {
		return result, err
	}
	if err := json.Unmarshal(text, &result); err != nil {
		return result, fmt.Errorf("call %s %s: decode the result: %w", service, action, err)
	}
	return result, nil
}

// newCall returns a call that a handler makes as a part of its own request.
func (s *state) newCall(service, action, args string, span *tracing.Call) *call.Call {
	r := &s.delivery.Request
	own := r.ParseMeta()
	meta := wire.Meta{
		RequestID: own.RequestID, TraceParent: span.TraceParent(own.TraceParent), Version: own.Version,
		Caller: s.info.Service, Depth: own.Depth + 1, Lanes: own.Lanes,
	}
	if meta.RequestID == "" {
		meta.RequestID = r.ID // so that the logs of all calls of one request share an ID
	}
	if r.Lane != "" {
		meta.Lanes = append(meta.Lanes, wire.LaneName(s.info.Service, r.Lane))
	}
	return &call.Call{
		Call: caller.Call{
			Service: service, Action: action, Args: args, Principal: own.Principal, Meta: meta.Encode(), Shared: true, Internal: true,
			ID:    wire.DerivedID("ask", r.ID, service, action, args, strconv.Itoa(s.count(service, action, args))),
			Store: max(callStore, time.Duration(r.Store)*time.Millisecond),
		},
		Depth: meta.Depth, Lanes: meta.Lanes,
	}
}

// count counts equal calls of one run, from 1.
func (s *state) count(service, action, args string) int {
	key := strings.Join([]string{service, action, args}, " ")
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.called == nil {
		s.called = make(map[string]int)
	}
	s.called[key]++
	return s.called[key]
}

// newCallError converts the error of a call to one that a handler may return.
func newCallError(failure *wire.Error) *Error {
	e := Fail(Code(failure.Code), failure.Status, failure.Message)
	if details, ok := failure.Details.(json.RawMessage); !ok || len(details) > 0 {
		e.Details = failure.Details
	}
	e.service, e.action, e.cause = failure.Service, failure.Action, failure.Unwrap()
	return e
}

// calls holds the connection by which the handlers of one service call others. It is
// opened at the first call, because most services never call.
type calls struct {
	cfg    call.OpenConfig
	tracer *tracing.Tracer // nil: no spans are made

	mu     sync.Mutex
	opened *call.Process
	closed bool
}

func (c *calls) process() (*call.Process, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return nil, caller.ErrClosed
	case c.opened != nil:
		return c.opened, nil
	}
	opened, err := call.Open(c.cfg)
	c.opened = opened
	return opened, err
}

func (c *calls) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed = true; c.opened != nil {
		c.opened.Close()
	}
}
