package route

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/oskadev/mailroom/api/exchange"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/schema"
)

// arguments turns path, query and body into the positional arguments of an
// action, and refuses what does not fit their schemas.
type arguments struct {
	path   []value
	object *object // the last argument; nil: the action takes none
}

// value is one argument, or one field of an object.
type value struct {
	name     string
	types    []string // that the schema allows; none: any
	items    []string // those of an array's items
	resolved *jsonschema.Resolved
	isField  bool // resolved is of an object that has this field
	bare     bool // the schema says the type and no more: reading text as it is the whole check
}

// object is an argument that comes from the body or the query.
type object struct {
	value
	fields   map[string]value
	required []string
	closed   bool          // undeclared fields are refused
	shape    *schema.Shape // nil: only the library knows
}

// newArguments prepares an action's arguments for a route with so many path
// parameters.
func newArguments(a *wire.Action, parameters int) (*arguments, error) {
	if len(a.Args) < parameters || len(a.Args) > parameters+1 {
		return nil, fmt.Errorf("it has %d parameters, the action takes %d arguments", parameters, len(a.Args))
	}
	args := &arguments{}
	for i, arg := range a.Args {
		root, err := schema.Read(arg.Schema)
		if err != nil {
			return nil, fmt.Errorf("schema of %s: %w", arg.Name, err)
		}
		resolved, err := root.CloneSchemas().Resolve(nil)
		if err != nil {
			return nil, fmt.Errorf("schema of %s: %w", arg.Name, err)
		}
		v := newValue(arg.Name, root, root, resolved)
		if i < parameters {
			args.path = append(args.path, v)
			continue
		}
		if args.object, err = newObject(v, root); err != nil {
			return nil, err
		}
	}
	return args, nil
}

func newValue(name string, root, own *jsonschema.Schema, resolved *jsonschema.Resolved) value {
	v := value{name: name, types: schema.Types(root, own), resolved: resolved, bare: isBare(own)}
	if items := schema.Follow(root, own).Items; items != nil {
		v.items = schema.Types(root, items)
	}
	return v
}

func newObject(v value, root *jsonschema.Schema) (*object, error) {
	own := schema.Follow(root, root)
	o := &object{value: v, fields: make(map[string]value), required: own.Required, shape: schema.Of(root)}
	// One field alone is checked against an object where nothing else is asked
	// for, so that what the schema refers to is still in its place.
	alone := &jsonschema.Schema{
		Type: own.Type, Types: own.Types, Properties: own.Properties, Defs: root.Defs, Definitions: root.Definitions,
	}
	resolved, err := alone.CloneSchemas().Resolve(nil)
	if err != nil {
		return nil, fmt.Errorf("schema of %s: %w", v.name, err)
	}
	for name, property := range own.Properties {
		field := newValue(name, root, property, resolved)
		field.isField = true
		o.fields[name] = field
	}
	o.closed = own.AdditionalProperties != nil && schema.Nothing(own.AdditionalProperties)
	return o, nil
}

// parse reads text, of a path or a query, as the type that the schema declares.
func (v *value) parse(text string) (any, error) {
	parsed, err := parseAs(kindOf(v.types), text)
	if err != nil {
		return nil, err
	}
	if v.bare {
		return parsed, nil
	}
	return parsed, v.validate(plain(parsed))
}

// plain is a parsed value as the schema library knows it: with Go's own numbers.
func plain(parsed any) any {
	if number, ok := parsed.(json.Number); ok {
		f, _ := number.Float64() // parseAs has seen that it is one
		return f
	}
	return parsed
}

func parseAs(kind, text string) (any, error) {
	if !utf8.ValidString(text) {
		return nil, errors.New("not UTF-8")
	}
	switch kind {
	case "integer":
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("not an integer: %.40q", text)
		}
		// Written again, since JSON knows neither +1 nor 01.
		return json.Number(strconv.FormatInt(n, 10)), nil
	case "number":
		var f float64
		// As JSON, which knows no NaN and no 0x10; but for JSON null is no error, and space around it neither.
		if err := json.Unmarshal([]byte(text), &f); err != nil || strings.Trim(text, "-0123456789.eE+") != "" {
			return nil, fmt.Errorf("not a number: %.40q", text)
		}
		return json.Number(text), nil
	case "boolean":
		switch text {
		case "true":
			return true, nil
		case "false":
			return false, nil
		}
		return nil, fmt.Errorf("neither true nor false: %.40q", text)
	default:
		return text, nil
	}
}

// validate checks a value against its schema, and says what is wrong in short.
func (v *value) validate(instance any) error {
	whole := instance
	if v.isField {
		whole = map[string]any{v.name: instance}
	}
	if err := v.resolved.Validate(whole); err != nil {
		return explain(v.types, instance, err)
	}
	return nil
}

// appendPath adds the path's arguments in JSON.
func (a *arguments) appendPath(dst []byte, params []string) ([]byte, []exchange.Problem) {
	var problems []exchange.Problem
	for i := range a.path {
		v := &a.path[i]
		parsed, err := v.parse(params[i])
		if err != nil {
			problems = append(problems, exchange.Problem{Field: v.name, Problem: err.Error()})
			continue
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendJSON(dst, parsed)
	}
	return dst, problems
}

func appendJSON(dst []byte, v any) []byte {
	if number, ok := v.(json.Number); ok {
		return append(dst, number...)
	}
	text, err := json.Marshal(v)
	if err != nil {
		return append(dst, "null"...) // of strings, numbers, booleans and lists of them: never
	}
	return append(dst, text...)
}

// fromQuery makes the last argument from a query: declared fields only, nil
// when there is none.
func (o *object) fromQuery(query map[string][]string) (map[string]any, []exchange.Problem) {
	values := make(map[string]any, len(query))
	var problems []exchange.Problem
	for _, name := range slices.Sorted(maps.Keys(query)) {
		field, declared := o.fields[name]
		if !declared {
			continue
		}
		parsed, err := field.parseAll(query[name])
		if err != nil {
			problems = append(problems, exchange.Problem{Field: name, Problem: err.Error()})
			continue
		}
		values[name] = parsed
	}
	return values, append(problems, missing(o.required, query)...)
}

func (v *value) parseAll(texts []string) (any, error) {
	if kindOf(v.types) != "array" {
		if len(texts) > 1 {
			return nil, fmt.Errorf("given %d times", len(texts))
		}
		return v.parse(texts[0])
	}
	list, instance := make([]any, len(texts)), make([]any, len(texts))
	for i, text := range texts {
		parsed, err := parseAs(kindOf(v.items), text)
		if err != nil {
			return nil, err
		}
		list[i], instance[i] = parsed, plain(parsed)
	}
	return list, v.validate(instance)
}

// missing lists the required fields that were not given at all.
func missing[V any](required []string, values map[string]V) []exchange.Problem {
	var problems []exchange.Problem
	for _, name := range required {
		if _, there := values[name]; !there {
			problems = append(problems, exchange.Problem{Field: name, Problem: "is missing"})
		}
	}
	return problems
}

// checkIntegers says which integers of a body no worker could read as such:
// for JSON schema, 1.0 and 1e30 are integers too.
func (o *object) checkIntegers(body string) []exchange.Problem {
	var raw map[string]json.RawMessage
	var problems []exchange.Problem
	for _, name := range slices.Sorted(maps.Keys(o.fields)) {
		field := o.fields[name]
		if kindOf(field.types) != "integer" || slices.Contains(field.types, "number") {
			continue
		}
		if raw == nil && json.Unmarshal([]byte(body), &raw) != nil {
			return nil // no object: the schema allows that
		}
		text, there := raw[name]
		if _, err := strconv.ParseInt(string(text), 10, 64); there && err != nil && text[0] != 'n' {
			problems = append(problems, exchange.Problem{Field: name, Problem: fmt.Sprintf("not an integer: %.40s", text)})
		}
	}
	return problems
}

// checkBody says what is wrong with a body, field by field.
func (o *object) checkBody(body any) []exchange.Problem {
	if o.shape.Fits(body) {
		return nil
	}
	err := o.resolved.Validate(body)
	if err == nil {
		return nil
	}
	values, ok := body.(map[string]any)
	if !ok {
		return []exchange.Problem{{Field: "body", Problem: explain(o.types, body, err).Error()}}
	}
	problems := missing(o.required, values)
	for _, name := range slices.Sorted(maps.Keys(values)) {
		field, declared := o.fields[name]
		switch {
		case declared:
			if err := field.validate(values[name]); err != nil {
				problems = append(problems, exchange.Problem{Field: name, Problem: err.Error()})
			}
		case o.closed:
			problems = append(problems, exchange.Problem{Field: name, Problem: "is not a field of this action"})
		}
	}
	if len(problems) == 0 {
		problems = append(problems, exchange.Problem{Field: "body", Problem: explain(nil, body, err).Error()})
	}
	return problems
}
