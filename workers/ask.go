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

	"github.com/oskadev/mailroom/ask"
	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/wire"
)

// askedStore is how long the outcome of an unsafe request that a handler made is
// kept at least: so long its own request, delivered again, asks nothing twice.
const askedStore = time.Hour

// Ask asks another service from within a handler, and gives the result as JSON; see
// AskFor for the same as a type. The arguments are written as JSON.
//
// What the service's manifest says holds as at the gateway: answers are shared and
// cached, requests wait for their turn in a lane. Deadline, trace, principal and
// version are those of the handler's own request. An unsafe action is asked under
// an ID that is derived from the request, the action, its arguments, and how often
// the same has been asked before in this run: should the request be delivered
// again, the handler gets the outcome that there is, and nothing happens twice.
//
// A failure is an [*Error]: the service's own, which a handler may return as it is, or
// UNAVAILABLE, OVERLOADED, TIMEOUT, or NOT_SUPPORTED where there is no such action.
// ASK_CYCLE (508) is a request that would wait for its turn in a lane that is held by
// a request that waits for it, ASK_TOO_DEEP (508) one that more than ask.MostDepth
// services in a row have led to. A context that ended is returned as its cause.
//
// With a user of its own at Redis, a service needs the right to ask: see
// `mailroom acl worker --asks`.
func Ask(ctx context.Context, service, action string, args ...any) (json.RawMessage, error) {
	s := stateOf(ctx)
	if s == nil || s.delivery == nil || s.asking == nil {
		return nil, errors.New("workers.Ask is for handlers: this context is none of theirs")
	}
	list := make([]json.RawMessage, len(args))
	for i, arg := range args {
		text, err := json.Marshal(arg)
		if err != nil {
			return nil, fmt.Errorf("ask %s %s: argument %d: %w", service, action, i, err)
		}
		list[i] = text
	}
	text, err := json.Marshal(list)
	if err != nil {
		return nil, fmt.Errorf("ask %s %s: %w", service, action, err)
	}
	asker, err := s.asking.asker() //nolint:contextcheck // it lives until it is closed
	if err != nil {
		return nil, err
	}
	result, err := asker.Do(ctx, s.question(service, action, string(text)))
	if f, failed := errors.AsType[*ask.Error](err); failed {
		return nil, asked(f)
	}
	return result, err
}

// AskFor is Ask with the result as a type.
func AskFor[R any](ctx context.Context, service, action string, args ...any) (R, error) {
	var result R
	text, err := Ask(ctx, service, action, args...)
	if err != nil {
		return result, err
	}
	if err := json.Unmarshal(text, &result); err != nil {
		return result, fmt.Errorf("ask %s %s: its result does not fit: %w", service, action, err)
	}
	return result, nil
}

// question is what a handler asks, as a part of its own request.
func (s *state) question(service, action, args string) *ask.Question {
	r := &s.delivery.Request
	own := r.ParseMeta()
	key := strings.Join([]string{service, action, args}, " ")
	s.mu.Lock()
	if s.asked == nil {
		s.asked = make(map[string]int)
	}
	s.asked[key]++
	nth := s.asked[key]
	s.mu.Unlock()
	q := &ask.Question{
		Service: service, Action: action, Args: args, Principal: own.Principal,
		ID:    wire.DerivedID("ask", r.ID, service, action, args, strconv.Itoa(nth)),
		Store: max(askedStore, time.Duration(r.Store)*time.Millisecond),
		Meta: wire.Meta{
			RequestID: own.RequestID, TraceParent: own.TraceParent, Version: own.Version,
			Caller: s.info.Service, Depth: own.Depth + 1, Lanes: own.Lanes,
		},
	}
	if q.Meta.RequestID == "" {
		q.Meta.RequestID = r.ID // by which all that was asked for one call is found in logs
	}
	if r.Lane != "" {
		q.Meta.Lanes = append(q.Meta.Lanes, wire.LaneName(s.info.Service, r.Lane))
	}
	return q
}

// asked makes an answer's error one that a handler may return.
func asked(f *ask.Error) *Error {
	e := Fail(f.Code, f.Status, f.Message)
	if len(f.Details) > 0 {
		e.Details = f.Details
	}
	e.service, e.action, e.cause = f.Service, f.Action, errors.Unwrap(f)
	return e
}

// asking is what the handlers of one service ask by. It is started for the first of
// them, since most services ask nobody.
type asking struct {
	cfg ask.Config

	mu      sync.Mutex
	started *ask.Asker
	closed  bool
}

func (a *asking) asker() (*ask.Asker, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.closed:
		return nil, caller.ErrClosed
	case a.started != nil:
		return a.started, nil
	}
	started, err := ask.New(a.cfg)
	a.started = started
	return started, err
}

func (a *asking) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed = true; a.started != nil {
		a.started.Close()
	}
}
