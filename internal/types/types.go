package types

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/oskadev/mailroom/bus/wire"
)

// Options configure Write.
type Options struct {
	// Language is "ts", "python" or "go". Required.
	Language string
	// Package is the name of the Go package. Defaults to "services".
	Package string
}

// language writes the code of one language.
type language interface {
	// names returns the rules for identifiers.
	names() *naming
	// write writes the whole file.
	write(out *bytes.Buffer, services []*service)
}

// Write returns the code of typed clients of the services. It leaves out actions without a
// route, and services without such an action. The result depends on the manifests alone,
// not on their order.
func Write(manifests []*wire.Manifest, options Options) ([]byte, error) {
	if options.Package == "" {
		options.Package = "services"
	}
	var to language
	switch options.Language {
	case "ts":
		to = typescript{}
	case "python":
		to = python{}
	case "go":
		if !isIdentifier(options.Package) || slices.Contains(goKeywords(), options.Package) {
			return nil, fmt.Errorf("%q is not a valid name of a Go package", options.Package)
		}
		to = golang{packageName: options.Package}
	default:
		return nil, fmt.Errorf("%q is not a known language: use ts, python or go", options.Language)
	}
	services := read(manifests, to.names())
	if len(services) == 0 {
		return nil, errors.New("no service has an action with a route")
	}
	var out bytes.Buffer
	to.write(&out, services)
	return out.Bytes(), nil
}

// service is a service with the names that it has in the code.
type service struct {
	name    string // on the wire
	class   string
	actions []*action
}

// action is an action with the names and types that it has in the code.
type action struct {
	name       string // on the wire
	method     string
	summary    string
	deprecated bool
	safe       bool
	args       []argument
	optional   bool // the last argument can be left out
	result     *shape
	types      []*shape // the named types of arguments and result, outer ones first
}

type argument struct {
	name  string
	shape *shape
}

// required returns the arguments that cannot be left out, and the one that can; nil: none.
func (a *action) required() ([]argument, *argument) {
	if !a.optional {
		return a.args, nil
	}
	last := len(a.args) - 1
	return a.args[:last], &a.args[last]
}

// read makes services of manifests. Services get their names before types do.
func read(manifests []*wire.Manifest, rules *naming) []*service {
	manifests = slices.Clone(manifests)
	slices.SortFunc(manifests, func(a, b *wire.Manifest) int { return strings.Compare(a.Service, b.Service) })
	types := newScope(rules.reservedTypes)
	var services []*service
	var declared [][]*wire.Action
	for _, m := range manifests {
		var routed []*wire.Action
		for i := range m.Actions {
			if len(m.Actions[i].Routes) > 0 {
				routed = append(routed, &m.Actions[i])
			}
		}
		if len(routed) > 0 {
			services = append(services, &service{name: m.Service, class: types.take(pascal(m.Service, rules))})
			declared = append(declared, routed)
		}
	}
	for i, s := range services {
		methods := newScope(rules.reservedMethods)
		for _, a := range declared[i] {
			s.actions = append(s.actions, readAction(a, rules, types, methods))
		}
	}
	return services
}

func readAction(a *wire.Action, rules *naming, types, methods *scope) *action {
	read := &action{
		name: a.Name, method: methods.take(rules.method(a.Name, rules)), summary: a.Summary, deprecated: a.Deprecated, safe: a.Safe,
	}
	params := newScope(rules.reservedParams)
	for _, arg := range a.Args {
		shape, named := readSchema(arg.Schema)
		read.nameTypes(named, pascal(a.Name, rules)+pascal(arg.Name, rules), rules, types)
		for _, s := range named {
			s.sent = true
		}
		read.args = append(read.args, argument{name: params.take(rules.param(arg.Name, rules)), shape: shape})
	}
	if n := len(read.args); n > 0 && a.Args[n-1].In != wire.InPath {
		read.optional = read.args[n-1].shape.acceptsEmpty()
	}
	shape, named := readSchema(a.Result)
	read.nameTypes(named, pascal(a.Name, rules)+"Result", rules, types)
	read.result = shape
	return read
}

// nameTypes gives names to the types of one schema.
func (a *action) nameTypes(named []*shape, prefix string, rules *naming, types *scope) {
	for _, s := range named {
		if s.kind == literals && !rules.namesLiterals {
			continue
		}
		s.name = types.take(pascal(strings.Join(append([]string{prefix}, s.path...), " "), rules))
		a.types = append(a.types, s)
	}
}
