package workers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/schema"
)

// FromManifest declares a service by a manifest (JSON) in place of functions. The handler
// runs the requests of all actions: InfoFrom(ctx) names the action, and the arguments have
// been checked against their schemas. Its result has to be JSON.
//
// A manifest needs only the name of the service and of each action. An action without
// safe is safe if it has routes and all are GET. An action without args has one string for
// each parameter of its first route, and one object for the body if that route is a POST,
// PUT or PATCH. The error names every fault of the manifest.
// Members that are not known are ignored; [Run] logs a warning that names them.
func FromManifest(manifest []byte, handler Handler) (*Service, error) {
	var m struct {
		wire.Manifest

		Actions []sparseAction `json:"actions"`
	}
	if err := json.Unmarshal(manifest, &m); err != nil {
		if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return nil, fmt.Errorf("manifest: %s has the wrong type: a %s", wrong.Field, wrong.Value)
		}
		return nil, fmt.Errorf("manifest: %w", err)
	}
	if m.Protocol != 0 && m.Protocol != 1 {
		return nil, fmt.Errorf("manifest of %.64q: protocol %d is not %s", m.Service, m.Protocol, wire.ProtocolVersion)
	}
	s := NewService(m.Service)
	if s.remote = true; m.Version != "" {
		s.version = m.Version
	}
	s.unknown = wire.UnknownMembers(manifest)
	for i := range m.Actions {
		s.add(m.Actions[i].action(handler))
	}
	if len(m.Actions) == 0 {
		s.faults = append(s.faults, errors.New("it has no action"))
	}
	if _, err := s.declare(); err != nil {
		return nil, err
	}
	return s, nil
}

// sparseAction is an action of a manifest that may leave out what has a default.
type sparseAction struct {
	wire.Action

	Safe *bool            `json:"safe"`
	Args *[]wire.Argument `json:"args"`
}

// action completes the declaration.
func (d *sparseAction) action(handler Handler) *action {
	a := &action{declared: d.Action, timeout: d.Timeout(), safe: d.Safe}
	if d.TimeoutMillis < 0 {
		a.timeout = time.Duration(d.TimeoutMillis)
	}
	args := defaultArguments(d.Routes)
	if d.Args != nil {
		args = *d.Args
	}
	for i, arg := range args {
		p, err := parameterOf(arg.Schema)
		if err != nil {
			a.faults = append(a.faults, fmt.Errorf("action %.64q: argument %d: %w", d.Name, i, err))
		}
		a.args = append(a.args, p)
	}
	a.declared.Args = a.arguments()
	a.faults = append(a.faults, a.adoptNames(args)...)
	if _, err := schema.Read(d.Result); err != nil {
		a.faults = append(a.faults, fmt.Errorf("action %.64q: result: %w", d.Name, err))
	}
	for _, scope := range d.Scopes {
		if err := wire.CheckScope(scope); err != nil {
			a.faults = append(a.faults, fmt.Errorf("action %.64q: %w", d.Name, err))
		}
	}
	a.call = func(ctx context.Context, args []json.RawMessage) (any, error) {
		values := make([]json.RawMessage, len(a.args))
		into := make([]any, len(a.args))
		for i := range values {
			into[i] = &values[i]
		}
		if err := a.decode(args, into...); err != nil {
			return nil, err
		}
		return handler(ctx, values)
	}
	return a
}

// defaultArguments returns the arguments of an action that declares routes alone.
func defaultArguments(routes []string) []wire.Argument {
	if len(routes) == 0 {
		return nil
	}
	method, path, _ := strings.Cut(routes[0], " ")
	var args []wire.Argument
	for _, name := range pathParameters(path) {
		args = append(args, wire.Argument{Name: name, Schema: json.RawMessage(`{"type":"string"}`)})
	}
	if slices.Contains(methods(), method) && !takesQuery(method) {
		args = append(args, wire.Argument{Name: wire.InBody, Schema: json.RawMessage(`{"type":"object"}`)})
	}
	return args
}

// adoptNames gives the arguments the names of the manifest. Parameters of the path keep the
// names that they have in the route.
func (a *action) adoptNames(args []wire.Argument) []error {
	var faults []error
	for i, arg := range args {
		declared := &a.declared.Args[i]
		switch {
		case arg.In != "" && arg.In != declared.In:
			faults = append(faults, fmt.Errorf("action %.64q: argument %d is in %.20q, its routes say %q", a.declared.Name, i, arg.In, declared.In))
		case arg.Name == "":
		case declared.In == wire.InPath && arg.Name != declared.Name:
			faults = append(faults, fmt.Errorf("action %.64q: argument %d has the name %.64q, the first route has :%s in its place", a.declared.Name, i, arg.Name, declared.Name))
		default:
			declared.Name = arg.Name
		}
	}
	return faults
}

// parameterOf returns the parameter with this JSON schema; empty: any value.
func parameterOf(text json.RawMessage) (parameter, error) {
	declared, err := schema.Read(text)
	if err != nil {
		return parameter{}, err
	}
	if len(text) == 0 {
		text = json.RawMessage(`{}`)
	}
	resolved, err := declared.Resolve(&jsonschema.ResolveOptions{})
	return parameter{schema: text, declared: declared, resolved: resolved, shape: schema.Of(declared)}, err
}
