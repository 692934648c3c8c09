package versions

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/oskadev/mailroom/bus/wire"
)

// Input is one call of the route of a plan.
type Input struct {
	// Args is a JSON array: the parameters of the path in their order, the body or the
	// query, and, if the plan names headers, an object of those that were sent.
	Args string
	// Principal is the caller; nil if it is anonymous.
	Principal *wire.Principal
	// Stage, if not nil, is called with the steps of a stage before they run.
	Stage func(steps []*Step)
}

// Call calls the action of one step with a JSON array of arguments. An error means that
// the service has not answered.
type Call func(ctx context.Context, step *Step, args string) (wire.Reply, error)

// Answer is the outcome of a run.
type Answer struct {
	// Envelope is the result, or the error of the step that failed, as the service wrote it.
	Envelope string
	// Refusal is the error of a step that refuses, or of an expression. Envelope is empty
	// then.
	Refusal *wire.Error
	// Status and Location are those of the step that gives the answer.
	Status   int
	Location string
	// Tags are those that the steps invalidated, each as service/tag.
	Tags []string
	// Timings are those of the steps that were called, in the order of the plan.
	Timings []Timing
}

// Timing holds when a step began and how long it took.
type Timing struct {
	Step  string
	Began time.Duration // since the run began
	Took  time.Duration

	place int // of the step in its plan
}

// run is one run of a plan.
type run struct {
	plan  *Plan
	call  Call
	tell  func([]*Step)
	began time.Time

	args []jsontext.Value // as they were sent

	mu     sync.Mutex
	env    map[string]any    // nil if no expression computes anything
	raw    map[string]string // the texts of values that are passed on
	whole  string            // the envelope of the step that gives the answer
	answer Answer
}

// errFailed ends a run that has its answer: a step failed.
var errFailed = errors.New("a step failed")

// Run runs the steps. It returns an error of call if a service has not answered.
func (p *Plan) Run(ctx context.Context, in Input, call Call) (Answer, error) {
	r := &run{plan: p, call: call, tell: in.Stage, began: time.Now()}
	err := r.prepare(in)
	if err == nil {
		err = r.all(ctx)
	}
	if err != nil && !errors.Is(err, errFailed) {
		return Answer{}, err
	}
	slices.SortFunc(r.answer.Timings, func(a, b Timing) int { return cmp.Compare(a.place, b.place) })
	return r.answer, nil
}

// all runs the stages and computes the result.
func (r *run) all(ctx context.Context) error {
	for _, stage := range r.plan.Stages {
		if err := r.stage(ctx, stage); err != nil {
			return err
		}
	}
	if r.plan.output.result.name == r.plan.output.step && r.whole != "" {
		r.answer.Envelope = r.whole // as the service wrote it
		return nil
	}
	result, err := r.appendValue(nil, r.plan.output.result)
	if err != nil {
		return r.broken("result", err)
	}
	r.answer.Envelope = string(wire.Success(result))
	return nil
}

// prepare reads those parts of a call that expressions use.
func (r *run) prepare(in Input) error {
	args, err := elements(in.Args)
	if err != nil {
		return r.malformed("args: not a JSON array")
	}
	p := r.plan
	if len(args) < len(p.Args.Parameters) {
		return r.malformed("path: " + p.Args.Parameters[len(args)].Name + " is missing")
	}
	if r.args = args; !p.output.computes {
		return nil
	}
	r.env = map[string]any{"version": p.Version}
	if p.Args.used["path"] {
		path := make(map[string]any, len(p.Args.Parameters))
		for i, parameter := range p.Args.Parameters {
			path[parameter.Name] = read(string(args[i]))
		}
		r.env["path"] = path
	}
	args = args[len(p.Args.Parameters):]
	if name := p.Args.Object.Name; p.Args.used[name] {
		r.env[name] = map[string]any{}
		if len(args) > 0 {
			r.env[name] = read(string(args[0]))
			r.pass(name, string(args[0]))
		}
	}
	if p.Args.used["headers"] {
		headers := map[string]any{}
		if len(args) > 1 {
			headers, _ = read(string(args[1])).(map[string]any)
		}
		r.env["headers"] = withEmpty(headers, p.Args.Headers)
	}
	if p.Args.used["principal"] {
		who := in.Principal
		if who == nil {
			who = &wire.Principal{}
		}
		r.env["principal"] = map[string]any{"subject": who.Subject, "tenant": who.Tenant, "scopes": append([]string{}, who.Scopes...)}
	}
	return nil
}

// pass keeps the text of a value that may be passed on. The caller holds the lock, or no
// step runs yet.
func (r *run) pass(name, value string) {
	if r.raw == nil {
		r.raw = make(map[string]string)
	}
	r.raw[name] = value
}

// withEmpty sets headers that were not sent to an empty text.
func withEmpty(headers map[string]any, names []string) map[string]any {
	if headers == nil {
		headers = make(map[string]any, len(names))
	}
	for _, name := range names {
		if headers[name] == nil {
			headers[name] = ""
		}
	}
	return headers
}

func (r *run) malformed(message string) error {
	return r.refuse(&wire.Error{Code: wire.CodeBadRequest, Status: http.StatusBadRequest, Message: message})
}

// stage runs together the steps of a stage whose conditions hold. The first that fails
// cancels the others.
func (r *run) stage(ctx context.Context, stage Stage) error {
	stage, err := r.due(stage)
	if err != nil || len(stage) == 0 {
		return err
	}
	if r.tell != nil {
		r.tell(stage)
	}
	if len(stage) == 1 {
		return r.step(ctx, stage[0])
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, len(stage))
	var running sync.WaitGroup
	for _, s := range stage {
		running.Go(func() {
			if err := r.step(ctx, s); err != nil {
				failed <- err
				cancel()
			}
		})
	}
	running.Wait()
	close(failed)
	return <-failed // nil if none has failed
}

// due returns the steps whose conditions hold.
func (r *run) due(stage Stage) (Stage, error) {
	if !slices.ContainsFunc(stage, func(s *Step) bool { return s.when != nil }) {
		return stage, nil
	}
	var due Stage
	for _, s := range stage {
		if s.when != nil {
			holds, err := s.when.run(r.env)
			if err != nil {
				return nil, r.broken(s.label()+": when", err)
			}
			switch holds {
			case true:
			case false, nil:
				continue
			default:
				return nil, r.broken(s.label()+": when", fmt.Errorf("want true or false, got %T", holds))
			}
		}
		due = append(due, s)
	}
	return due, nil
}

func (r *run) step(ctx context.Context, s *Step) error {
	if f := s.Refusal; f != nil {
		return r.refuse(&wire.Error{Code: wire.Code(f.Code), Status: f.Status, Message: f.Message})
	}
	var buffer [64]byte // long enough for most steps
	args := append(buffer[:0], '[')
	for i, e := range s.args {
		if i > 0 {
			args = append(args, ',')
		}
		var err error
		if args, err = r.appendValue(args, e); err != nil {
			return r.broken(s.label()+": args", err)
		}
	}
	began := time.Since(r.began)
	reply, err := r.call(ctx, s, string(append(args, ']')))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer.Timings = append(r.answer.Timings, Timing{Step: s.Name, Began: began, Took: time.Since(r.began) - began, place: s.place})
	if err != nil {
		return fmt.Errorf("step %s: %w", s.Name, err)
	}
	return r.note(s, reply)
}

// note stores the reply to a step. The caller holds the lock.
func (r *run) note(s *Step, reply wire.Reply) error {
	said, _ := wire.ParseReplyMeta(reply.Meta) // malformed parts are left out
	for _, tag := range said.Tags {            // also of a step that failed
		r.answer.Tags = append(r.answer.Tags, s.Service+"/"+tag)
	}
	result, ok, err := wire.ReadEnvelope(reply.Envelope)
	if err != nil { // how it begins says nothing
		reply.Envelope, said.Status = string(wire.Failure(wire.Unreadable(s.Service, s.Action))), http.StatusInternalServerError
	}
	if !ok {
		if r.answer.Envelope == "" && r.answer.Refusal == nil { // the first failure wins
			r.answer.Envelope, r.answer.Status, r.answer.Location = reply.Envelope, said.Status, ""
		}
		return errFailed
	}
	if s.used {
		r.pass(s.Name, result)
	}
	if s.read && r.env != nil {
		r.env[s.Name] = read(result)
	}
	if s.Name == r.plan.output.step {
		r.answer.Status, r.answer.Location, r.whole = said.Status, said.Location, reply.Envelope
	}
	return nil
}

// appendValue appends the value of an expression as JSON. A value that is only passed on
// keeps its text.
func (r *run) appendValue(dst []byte, e *expression) ([]byte, error) {
	if e.param > 0 {
		return append(dst, r.args[e.param-1]...), nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if raw, whole := r.raw[e.name]; whole {
		return append(dst, raw...), nil
	}
	value, err := e.run(r.env)
	if err != nil {
		return dst, err
	}
	if n, whole := value.(int); whole {
		return strconv.AppendInt(dst, int64(n), 10), nil
	}
	text, err := json.Marshal(value)
	if _, keys := errors.AsType[*json.UnsupportedTypeError](err); keys { // groupBy returns such maps
		text, err = json.Marshal(named(value))
	}
	return append(dst, text...), err
}

func (s *Step) label() string {
	if s.Name == "" {
		return "refuse"
	}
	return "step " + s.Name
}

// broken ends a run whose expression failed: 400 if the caller sent a number that is too
// large to compute with, else 500.
func (r *run) broken(where string, err error) error {
	if name := r.hugeInput(); name != "" {
		return r.malformed(name + ": a number is larger than what can be computed with (64 bits)")
	}
	return r.refuse(&wire.Error{
		Code: wire.CodeInternal, Status: http.StatusInternalServerError,
		Message: r.plan.Name() + ": " + where + ": " + strings.TrimSpace(err.Error()),
	})
}

// hugeInput names the part of a call with a number that is too large; empty if none has.
func (r *run) hugeInput() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range []string{"path", r.plan.Args.Object.Name} {
		if huge(r.env[name]) {
			return name
		}
	}
	return ""
}

func (r *run) refuse(e *wire.Error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.answer.Envelope == "" && r.answer.Refusal == nil {
		r.answer.Refusal, r.answer.Status, r.answer.Location = e, e.Status, ""
	}
	return errFailed
}
