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
)

// callStore is how long at least the outcome of an unsafe call of a handler is kept:
// within that time the handler's own request, delivered again, repeats nothing.
const callStore = time.Hour

// Call calls an action of another service from within a handler, and returns its
// result as JSON; see CallFor for a typed result. Arguments are encoded as JSON.
//
// The call behaves as at the gateway: answers are shared and cached, and requests
// wait in their lane, as the other service declares. Deadline, trace, principal and
// version are those of the handler's own request. An unsafe action is called under
// an ID derived from the handler's request, the action, its arguments and the
// number of equal calls before it. When the handler's request is delivered again,
// the call returns the outcome of the first time, and nothing happens twice.
//
// A failure is an [*Error]: the other service's own, which a handler may return as
// it is, or UNAVAILABLE, OVERLOADED, TIMEOUT, or NOT_SUPPORTED for an action that
// does not exist. A call that would wait in a lane held by a request that waits for
// it is ASK_CYCLE (508); more than eight services that call each other in a row are
// ASK_TOO_DEEP (508). When ctx ends first, Call returns its cause.
//
// A service with a Redis user of its own needs the right to call: see
// `mailroom acl worker --asks`.
func Call(ctx context.Context, service, action string, args ...any) (json.RawMessage, error) {
	s := stateOf(ctx)
	if s == nil || s.delivery == nil || s.calls == nil {
		return nil, errors.New("workers.Call needs the context of a handler")
	}
	text, err := call.EncodeArgs(args)
	if err != nil {
		return nil, fmt.Errorf("call %s %s: %w", service, action, err)
	}
	process, err := s.calls.process() //nolint:contextcheck // it lives until it is closed
	if err != nil {
		return nil, err
	}
	result, err := process.Result(ctx, s.newCall(service, action, text))
	if failure, ok := errors.AsType[*wire.Error](err); ok {
		return nil, newCallError(failure)
	}
	return result, err
}

// CallFor is Call with a typed result.
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

// newCall is a call of a handler, as a part of its own request.
func (s *state) newCall(service, action, args string) *call.Call {
	r := &s.delivery.Request
	own := r.ParseMeta()
	meta := wire.Meta{
		RequestID: own.RequestID, TraceParent: own.TraceParent, Version: own.Version,
		Caller: s.info.Service, Depth: own.Depth + 1, Lanes: own.Lanes,
	}
	if meta.RequestID == "" {
		meta.RequestID = r.ID // logs of all calls of one request have it
	}
	if r.Lane != "" {
		meta.Lanes = append(meta.Lanes, wire.LaneName(s.info.Service, r.Lane))
	}
	return &call.Call{
		Call: caller.Call{
			Service: service, Action: action, Args: args, Principal: own.Principal, Meta: meta.Encode(), Shared: true,
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

// newCallError makes the error of a call one that a handler may return.
func newCallError(failure *wire.Error) *Error {
	e := Fail(Code(failure.Code), failure.Status, failure.Message)
	if details, ok := failure.Details.(json.RawMessage); !ok || len(details) > 0 {
		e.Details = failure.Details
	}
	e.service, e.action, e.cause = failure.Service, failure.Action, failure.Unwrap()
	return e
}

// calls opens what the handlers of one service call by, at the first call: most
// services call no other.
type calls struct {
	cfg call.OpenConfig

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
