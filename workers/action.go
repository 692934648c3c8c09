package workers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/schema"
)

// action is one declared action.
type action struct {
	declared    wire.Action // without Safe and TimeoutMillis; see manifest
	timeout     time.Duration
	concurrency int   // 0: no limit of its own
	safe        *bool // nil: the routes decide

	args     []parameter
	examples [][]any // of the arguments
	results  []any   // examples
	call     Handler
	slots    chan struct{} // nil: no limit of its own
	faults   []error
}

// parameter is the type of an argument or a result.
type parameter struct {
	schema   json.RawMessage
	declared *jsonschema.Schema
	resolved *jsonschema.Resolved
	shape    *schema.Shape // nil: only resolved can validate
}

// Handle0 declares an action without arguments. [Run] reports a faulty declaration.
func Handle0[R any](s *Service, name string, fn func(context.Context) (R, error), opts ...ActionOption) {
	a := newAction[R](name, opts)
	a.call = func(ctx context.Context, args []json.RawMessage) (any, error) {
		if err := a.decode(args); err != nil {
			return nil, err
		}
		return fn(ctx)
	}
	s.add(a)
}

// Handle1 declares an action with one argument. [Run] reports a faulty declaration.
func Handle1[A, R any](s *Service, name string, fn func(context.Context, A) (R, error), opts ...ActionOption) {
	a := newAction[R](name, opts, reflect.TypeFor[A]())
	a.call = func(ctx context.Context, args []json.RawMessage) (any, error) {
		var v1 A
		if err := a.decode(args, &v1); err != nil {
			return nil, err
		}
		return fn(ctx, v1)
	}
	s.add(a)
}

// Handle2 declares an action with two arguments. [Run] reports a faulty declaration.
func Handle2[A, B, R any](s *Service, name string, fn func(context.Context, A, B) (R, error), opts ...ActionOption) {
	a := newAction[R](name, opts, reflect.TypeFor[A](), reflect.TypeFor[B]())
	a.call = func(ctx context.Context, args []json.RawMessage) (any, error) {
		var v1 A
		var v2 B
		if err := a.decode(args, &v1, &v2); err != nil {
			return nil, err
		}
		return fn(ctx, v1, v2)
	}
	s.add(a)
}

// Handle3 declares an action with three arguments. [Run] reports a faulty declaration.
func Handle3[A, B, C, R any](s *Service, name string, fn func(context.Context, A, B, C) (R, error), opts ...ActionOption) {
	a := newAction[R](name, opts, reflect.TypeFor[A](), reflect.TypeFor[B](), reflect.TypeFor[C]())
	a.call = func(ctx context.Context, args []json.RawMessage) (any, error) {
		var v1 A
		var v2 B
		var v3 C
		if err := a.decode(args, &v1, &v2, &v3); err != nil {
			return nil, err
		}
		return fn(ctx, v1, v2, v3)
	}
	s.add(a)
}

func newAction[R any](name string, opts []ActionOption, params ...reflect.Type) *action {
	a := &action{declared: wire.Action{Name: name}, timeout: wire.DefaultTimeout}
	for _, opt := range opts {
		opt(a)
	}
	for i, t := range params {
		p, err := newParameter(t)
		if err != nil {
			a.faults = append(a.faults, fmt.Errorf("action %s: argument %d: %w", name, i, err))
		}
		a.args = append(a.args, p)
	}
	result, err := newParameter(reflect.TypeFor[R]())
	if err != nil {
		a.faults = append(a.faults, fmt.Errorf("action %s: result: %w", name, err))
	}
	a.addExamples(&result)
	a.declared.Result = result.schema
	a.declared.Args = a.arguments()
	if a.concurrency > 0 {
		a.slots = make(chan struct{}, a.concurrency)
	}
	return a
}

// newParameter derives the JSON schema of a type, with the struct tags description and
// example.
func newParameter(t reflect.Type) (parameter, error) {
	declared, err := jsonschema.ForType(t, &jsonschema.ForOptions{TypeSchemas: map[reflect.Type]*jsonschema.Schema{
		reflect.TypeFor[json.RawMessage](): {},
	}})
	if err != nil {
		return parameter{}, err
	}
	if err := describe(declared, t); err != nil {
		return parameter{}, err
	}
	text, err := json.Marshal(declared)
	if err != nil {
		return parameter{}, err
	}
	resolved, err := declared.Resolve(nil)
	return parameter{schema: text, declared: declared, resolved: resolved, shape: schema.Of(declared)}, err
}

func (a *action) isSafe() bool {
	if a.safe != nil {
		return *a.safe
	}
	for _, route := range a.declared.Routes {
		if !strings.HasPrefix(route, "GET ") {
			return false
		}
	}
	return len(a.declared.Routes) > 0
}

func (a *action) manifest() wire.Action {
	m := a.declared
	m.Safe, m.TimeoutMillis = a.isSafe(), a.timeout.Milliseconds()
	return m
}

// decode reads the positional arguments into the handler's parameters. A missing
// argument counts as an empty object. An argument that does not fit its schema is an
// error of the caller: the gateway checks the schema too, but other callers do not.
func (a *action) decode(args []json.RawMessage, into ...any) error {
	if len(args) > len(into) {
		return BadRequest(FieldError{Field: "args", Problem: fmt.Sprintf("%s takes %d arguments, not %d", a.declared.Name, len(into), len(args))})
	}
	for i := range into {
		raw := json.RawMessage(`{}`)
		if i < len(args) {
			raw = args[i]
		}
		if wrong := a.args[i].decode(a.declared.Args[i].Name, raw, into[i]); len(wrong) > 0 {
			return BadRequest(wrong...)
		}
	}
	return nil
}

// decode reads an argument, and returns the problems of one that does not fit. The name is
// that of the argument.
func (p *parameter) decode(name string, raw json.RawMessage, into any) []FieldError {
	switch v := into.(type) {
	// Types of path parameters: decoding checks as much as the schema does.
	case *int64:
		if n, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
			*v = n
			return nil
		}
	case *string:
		if raw[0] == '"' && json.Unmarshal(raw, v) == nil {
			return nil
		}
	}
	if !p.shape.OnlyObject() || raw[0] != '{' {
		var instance any
		if err := json.Unmarshal(raw, &instance); err != nil {
			return []FieldError{{Field: name, Problem: "not JSON"}}
		}
		if !p.shape.Fits(instance) && p.resolved.Validate(instance) != nil {
			return fieldErrors(name, schema.Explain(p.declared, instance))
		}
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return []FieldError{typeError(name, err)}
	}
	return nil
}

// typeError returns the problem of a value that fits its schema but not its Go type, such as
// 1.0 or 300 for an int8.
func typeError(name string, err error) FieldError {
	wrong, ok := errors.AsType[*json.UnmarshalTypeError](err)
	if !ok {
		return FieldError{Field: name, Problem: "does not fit its type"}
	}
	if wrong.Field != "" {
		name += "." + wrong.Field
	}
	problem := "does not fit its type"
	if kind := wrong.Type.Kind(); kind >= reflect.Int && kind <= reflect.Float64 {
		problem = fmt.Sprintf("want %s, got %.40s", kind, wrong.Value)
	}
	return FieldError{Field: name, Problem: problem}
}

func fieldErrors(name string, faults []schema.FaultError) []FieldError {
	fields := make([]FieldError, len(faults))
	for i, f := range faults {
		fields[i] = FieldError{Field: name + f.Path, Problem: f.Problem}
	}
	return fields
}
