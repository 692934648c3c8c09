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

	"github.com/oskadev/mailroom/bus"
)

// Input is one call of a plan's route.
type Input struct {
	// Args is a JSON array: the path's parameters in their order, then the body or the
	// query, then, where the plan names headers, an object of those that were sent.
	Args string
	// Principal is who calls; nil: nobody had to say.
	Principal *bus.Principal
	// Stage is told which steps are about to run at once, before any of them does. Nil:
	// nobody wants to know.
	Stage func(steps []*Step)
}

// Ask asks for one step, with a JSON array of arguments. An error means that there is
// no answer of the service.
type Ask func(ctx context.Context, step *Step, args string) (bus.Reply, error)

// Answer is what a plan came to.
type Answer struct {
	// Envelope is the result, or the error of the step that failed, as it came.
	Envelope string
	// Refusal is the error of a step that refuses, or of an expression, instead of an
	// envelope.
	Refusal *bus.Error
	// Status and Location are those of the step that the answer is of.
	Status   int
	Location string
	// Tags are what the steps invalidated, each behind its service and a slash.
	Tags []string
	// Timings are those of the steps that were asked, in the order of the plan.
	Timings []Timing
}

// Timing is when a step was under way.
type Timing struct {
	Step  string
	Began time.Duration // since the first
	Took  time.Duration

	place int // of the step in its plan
}

// run is one run of a plan.
type run struct {
	plan  *Plan
	ask   Ask
	tell  func([]*Step)
	began time.Time

	args []jsontext.Value // as they came

	mu     sync.Mutex
	env    map[string]any    // nil: nothing is computed
	raw    map[string]string // what is passed on
	whole  string            // the envelope of the step that the answer is of
	answer Answer
}

// errFailed ends a run that has its answer: a step failed.
var errFailed = errors.New("a step failed")

// Run runs the steps. An error is one of ask's: then there is no answer yet.
func (p *Plan) Run(ctx context.Context, in Input, ask Ask) (Answer, error) {
	r := &run{plan: p, ask: ask, tell: in.Stage, began: time.Now()}
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

// all runs the stages, and makes the result of what they gave.
func (r *run) all(ctx context.Context) error {
	for _, stage := range r.plan.Stages {
		if err := r.stage(ctx, stage); err != nil {
			return err
		}
	}
	if r.plan.result.name == r.plan.answer && r.whole != "" {
		r.answer.Envelope = r.whole // as it came
		return nil
	}
	result, err := r.appendValue(nil, r.plan.result)
	if err != nil {
		return r.broken("result", err)
	}
	r.answer.Envelope = string(bus.Success(result))
	return nil
}

// prepare makes what expressions may speak of.
func (r *run) prepare(in Input) error {
	args, err := elements(in.Args)
	if err != nil {
		return r.malformed("args: not a JSON array")
	}
	p := r.plan
	if len(args) < len(p.Parameters) {
		return r.malformed("path: " + p.Parameters[len(args)].Name + " is missing")
	}
	if r.args = args; !p.computes {
		return nil
	}
	r.env = map[string]any{"version": p.Version}
	if p.speaks["path"] {
		path := make(map[string]any, len(p.Parameters))
		for i, parameter := range p.Parameters {
			path[parameter.Name] = read(string(args[i]))
		}
		r.env["path"] = path
	}
	args = args[len(p.Parameters):]
	if name := p.Object.Name; p.speaks[name] {
		r.env[name] = map[string]any{}
		if len(args) > 0 {
			r.env[name] = read(string(args[0]))
			r.pass(name, string(args[0]))
		}
	}
	if p.speaks["headers"] {
		headers := map[string]any{}
		if len(args) > 1 {
			headers, _ = read(string(args[1])).(map[string]any)
		}
		r.env["headers"] = withEmpty(headers, p.Headers)
	}
	if p.speaks["principal"] {
		who := in.Principal
		if who == nil {
			who = &bus.Principal{}
		}
		r.env["principal"] = map[string]any{"subject": who.Subject, "tenant": who.Tenant, "scopes": append([]string{}, who.Scopes...)}
	}
	return nil
}

// pass notes what may be passed on. Its caller holds the lock, or is alone.
func (r *run) pass(name, value string) {
	if r.raw == nil {
		r.raw = make(map[string]string)
	}
	r.raw[name] = value
}

// withEmpty has headers that were not sent be empty.
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
	return r.refuse(&bus.Error{Code: bus.CodeBadRequest, Status: http.StatusBadRequest, Message: message})
}

// stage runs the steps of a stage whose conditions hold, at once. The first that
// fails ends the others.
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
	return <-failed // nil: none has
}

// due gives the steps whose conditions hold.
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
		return r.refuse(&bus.Error{Code: f.Code, Status: f.Status, Message: f.Message})
	}
	var most [64]byte // of most steps
	args := append(most[:0], '[')
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
	reply, err := r.ask(ctx, s, string(append(args, ']')))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer.Timings = append(r.answer.Timings, Timing{Step: s.Name, Began: began, Took: time.Since(r.began) - began, place: s.place})
	if err != nil {
		return fmt.Errorf("step %s: %w", s.Name, err)
	}
	return r.note(s, reply)
}

// note takes the answer to a step. Its caller holds the lock.
func (r *run) note(s *Step, reply bus.Reply) error {
	said, _ := bus.ParseReplyMeta(reply.Meta) // what cannot be read is left out
	for _, tag := range said.Tags {           // also of a step that failed
		r.answer.Tags = append(r.answer.Tags, s.Service+"/"+tag)
	}
	result := ""
	ok := !s.used && strings.HasPrefix(reply.Envelope, successHead)
	if !ok {
		result, ok = resultOf(reply.Envelope)
	}
	if !ok {
		if r.answer.Envelope == "" && r.answer.Refusal == nil { // the first that failed
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
	if s.Name == r.plan.answer {
		r.answer.Status, r.answer.Location, r.whole = said.Status, said.Location, reply.Envelope
	}
	return nil
}

// successHead is what a success begins with, as our own workers write it.
const successHead = `{"ok":true,"result":`

// resultOf is the result in an envelope; false: it tells of a failure, or nothing.
func resultOf(envelope string) (string, bool) {
	const tail = `}`
	if strings.HasPrefix(envelope, successHead) && strings.HasSuffix(envelope, tail) {
		if result := envelope[len(successHead) : len(envelope)-len(tail)]; json.Valid([]byte(result)) {
			return result, true
		}
	}
	var read struct {
		OK     bool            `json:"ok"`
		Result json.RawMessage `json:"result"`
	}
	err := json.Unmarshal([]byte(envelope), &read)
	return string(read.Result), err == nil && read.OK
}

// appendValue appends what an expression gives, as JSON. What is only passed on stays as
// it was written.
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
	if _, keys := errors.AsType[*json.UnsupportedTypeError](err); keys { // groupBy makes such
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

// broken ends a run whose expression could not be worked out with what came. Numbers of
// the caller that are too large for that are the caller's fault.
func (r *run) broken(where string, err error) error {
	if name := r.hugeInput(); name != "" {
		return r.malformed(name + ": a number is larger than what can be computed with (64 bits)")
	}
	return r.refuse(&bus.Error{
		Code: bus.CodeInternal, Status: http.StatusInternalServerError,
		Message: r.plan.Name() + ": " + where + ": " + strings.TrimSpace(err.Error()),
	})
}

// hugeInput names the part of a call that has a number which is too large; empty: none.
func (r *run) hugeInput() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range []string{"path", r.plan.Object.Name} {
		if huge(r.env[name]) {
			return name
		}
	}
	return ""
}

func (r *run) refuse(e *bus.Error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.answer.Envelope == "" && r.answer.Refusal == nil {
		r.answer.Refusal, r.answer.Status, r.answer.Location = e, e.Status, ""
	}
	return errFailed
}
