package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/oskadev/mailroom/bus/consumer"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/frames"
	"github.com/oskadev/mailroom/workers"
)

// run is one request on a connection.
type run struct {
	name  string
	final chan *frames.Worker // capacity 1

	mu       sync.Mutex
	ctx      context.Context //nolint:containedctx // a frame of the worker may extend it
	release  []context.CancelFunc
	extended chan struct{} // capacity 1: ctx has changed
}

// run passes a request on to the worker and waits for its final frame.
func (s *session) run(ctx context.Context, args []json.RawMessage) (any, error) {
	r := s.begin(ctx, args)
	if r == nil {
		return nil, errDraining
	}
	defer r.end()
	for now := ctx; ; now = r.context() { //nolint:contextcheck // it is made of ctx
		select {
		case f := <-r.final:
			return outcome(now, f)
		case <-s.ended:
			return nil, workers.Release(fmt.Errorf("the connection of its worker ended: %w", s.cause()))
		case <-r.extended:
		case <-now.Done():
			return s.lose(now, r)
		}
	}
}

// lose tells the worker to stop a run, and waits for its final frame. A worker that sends
// none is stuck: its connection ends.
func (s *session) lose(ctx context.Context, r *run) (any, error) {
	reason := lostReason(ctx)
	s.send(func(dst []byte) []byte { return frames.AppendLost(dst, r.name, reason) })
	stuck := time.NewTimer(s.host.cfg.DrainLimit)
	defer stuck.Stop()
	select {
	case f := <-r.final:
		return outcome(ctx, f)
	case <-s.ended:
	case <-stuck.C:
		s.end(&frames.Bye{Reason: frames.Slow, Message: fmt.Sprintf(
			"run %s of %s did not end within %v after its end", r.name, workers.InfoFrom(ctx).Action, s.host.cfg.DrainLimit)})
	}
	return nil, stopped(ctx)
}

func lostReason(ctx context.Context) frames.LostReason {
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, consumer.ErrOwnershipLost):
		return frames.LostTaken
	case errors.Is(cause, consumer.ErrCancelled):
		return frames.LostCancelled
	case errors.Is(cause, context.DeadlineExceeded):
		return frames.LostDeadline
	default:
		return frames.LostDrain
	}
}

// stopped returns the error of a run that its worker gave up: TIMEOUT past the deadline,
// and otherwise another delivery.
func stopped(ctx context.Context) error {
	cause := context.Cause(ctx)
	switch {
	case errors.Is(cause, context.DeadlineExceeded), errors.Is(cause, consumer.ErrCancelled):
		return cause
	case cause == nil:
		cause = errors.New("the worker gave up the run")
	}
	return workers.Release(cause)
}

// outcome returns what the handler of a run returns for its final frame.
func outcome(ctx context.Context, f *frames.Worker) (any, error) {
	workers.Invalidate(ctx, f.Invalidate...)
	switch {
	case f.Stopped:
		return nil, stopped(ctx)
	case f.Retry:
		return nil, workers.NoOutcome(errors.New(f.Reason))
	case *f.OK:
		workers.SetStatus(ctx, f.Status)
		workers.SetLocation(ctx, f.Location)
		switch {
		case len(f.Result) == 0:
			return nil, nil //nolint:nilnil // the result is null
		case !utf8.Valid(f.Result):
			return nil, errors.New("the worker sent a result that is not UTF-8")
		}
		return json.RawMessage(f.Result), nil
	case f.Error == nil:
		return nil, errors.New("the final frame of the worker cannot be used")
	case !validCode.MatchString(f.Error.Code):
		return nil, fmt.Errorf("the worker sent a failure with the code %.64q: want upper case with underscores", f.Error.Code)
	}
	e := workers.Fail(workers.Code(f.Error.Code), f.Error.Status, f.Error.Message)
	if len(f.Error.Details) > 0 {
		e.Details = json.RawMessage(f.Error.Details)
	}
	return nil, e.Of(f.Error.Service, f.Error.Action)
}

// validCode is the form of an error code.
var validCode = regexp.MustCompile(`^[A-Z][A-Z0-9_]{0,63}$`)

// begin adds a run and sends its frame; nil: the worker takes no more runs.
func (s *session) begin(ctx context.Context, args []json.RawMessage) *run {
	r := &run{ctx: ctx, final: make(chan *frames.Worker, 1), extended: make(chan struct{}, 1)}
	frame := describe(ctx, args)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return nil
	}
	s.last++
	r.name = strconv.FormatUint(s.last, 10)
	frame.Run = r.name
	s.runs[r.name] = r
	s.send(frame.Append)
	return r
}

// drain takes the connection of a worker that takes no more runs off its service, and
// tells the worker that none follows.
func (s *session) drain() {
	if s.service == nil {
		return
	}
	s.service.remove(s)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.draining {
		s.draining = true
		s.send(frames.AppendDrain)
	}
}

// find returns the run of a frame, and removes it with its final frame; nil: there is no
// such run.
func (s *session) find(f *frames.Worker) *run {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.runs[f.Run]
	if f.Kind() == frames.KindFinal {
		delete(s.runs, f.Run)
	}
	return r
}

// describe returns the frame of a request.
func describe(ctx context.Context, args []json.RawMessage) *frames.Run {
	info := workers.InfoFrom(ctx)
	deadline, _ := ctx.Deadline()
	return &frames.Run{
		Action: info.Action, Args: args, Deadline: time.Until(deadline), Attempt: info.Attempt,
		ID: info.RequestID, RequestID: info.CallerRequestID, Principal: info.Principal,
		Version: info.Version, Trace: info.TraceParent,
	}
}

// cause returns why the session has ended.
func (s *session) cause() error {
	if s.err == nil {
		return ErrClosed
	}
	return s.err
}

// context returns the present context of the run.
func (r *run) context() context.Context {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ctx
}

// extend gives the run more time.
func (r *run) extend(f *frames.Worker) {
	r.mu.Lock()
	defer r.mu.Unlock()
	longer, cancel := workers.Extend(r.ctx, time.Duration(min(f.Extend, maxExtend.Milliseconds()))*time.Millisecond)
	r.ctx = longer
	r.release = append(r.release, cancel)
	select {
	case r.extended <- struct{}{}:
	default: // the run has not looked yet
	}
}

// maxExtend limits one extension of a run.
const maxExtend = 24 * time.Hour

// end releases the contexts of the run.
func (r *run) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, cancel := range r.release {
		cancel()
	}
	r.release = nil
}

// call calls another service for a run.
func (s *session) call(f *frames.Worker) error {
	s.mu.Lock()
	r := s.runs[f.Run]
	s.mu.Unlock()
	if s.calls.Add(1) > int64(maxCalls(s.capacity)) {
		s.calls.Add(-1)
		return &frames.Bye{Reason: frames.Flood, Message: fmt.Sprintf("more than %d unanswered calls", maxCalls(s.capacity))}
	}
	go func() {
		envelope := callFor(r, f)
		s.calls.Add(-1) // before the answer: the worker may call again at once
		s.send(func(dst []byte) []byte { return frames.AppendAnswer(dst, f.Call, envelope) })
	}()
	return nil
}

// maxCalls returns how many calls of other services a connection may have unanswered.
func maxCalls(capacity int) int { return max(64, 4*capacity) }

// callFor makes a call for a run and returns its envelope.
func callFor(r *run, f *frames.Worker) string {
	fail := func(e *wire.Error) string { return string(wire.Failure(e)) }
	if r == nil {
		return fail(wire.NewError(wire.CodeBadRequest, "the run of this call is finished or unknown"))
	}
	args := make([]any, len(f.Args))
	for i, arg := range f.Args {
		args[i] = json.RawMessage(arg)
	}
	result, err := workers.Call(r.context(), f.Service, f.Request, args...)
	if err == nil {
		return string(wire.Success(result))
	}
	own, ok := errors.AsType[*workers.Error](err)
	if !ok {
		return fail(wire.NewError(wire.CodeUnavailable, "the run ended before its call was answered"))
	}
	return fail(&wire.Error{Code: wire.Code(own.Code), Status: own.Status, Message: own.Message, Details: own.Details, Service: f.Service, Action: f.Request})
}
