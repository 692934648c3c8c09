package route

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/oskadev/mailroom/api/exchange"
	"github.com/oskadev/mailroom/internal/schema"
)

// object is the argument that comes from the body or the query.
type object struct {
	value
	fields   map[string]value
	required []string
	shape    *schema.Shape // a fast check; nil: the schema is too complex for it
}

// newObject returns the object of an argument.
func newObject(v value, root *jsonschema.Schema) (*object, error) {
	own := schema.Follow(root, root)
	o := &object{value: v, fields: make(map[string]value), required: own.Required, shape: schema.Of(root)}
	// A single field is validated within an object that requires nothing else, so that
	// references in the schema still resolve.
	alone := &jsonschema.Schema{
		Type: own.Type, Types: own.Types, Properties: own.Properties, Defs: root.Defs, Definitions: root.Definitions,
	}
	resolved, err := alone.CloneSchemas().Resolve(nil)
	if err != nil {
		return nil, fmt.Errorf("schema of %s: %w", v.name, err)
	}
	for name, property := range own.Properties {
		field := newValue(name, root, property, resolved)
		field.root, field.isField, field.cost = alone, true, v.cost
		o.fields[name] = field
	}
	return o, nil
}

// mayBeObject reports whether the schema allows an object.
func (o *object) mayBeObject() bool { return len(o.types) == 0 || slices.Contains(o.types, "object") }

// fromQuery returns the declared fields of a query, and the problem of each that does not
// fit or is missing.
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
			problems = append(problems, problem(name, err))
			continue
		}
		values[name] = parsed
	}
	return values, append(problems, missing(o.required, query)...)
}

// missing returns a problem for each required field without a value.
func missing[V any](required []string, values map[string]V) []exchange.Problem {
	var problems []exchange.Problem
	for _, name := range required {
		if _, there := values[name]; !there {
			problems = append(problems, exchange.Problem{Field: name, Problem: "is missing"})
		}
	}
	return problems
}

// checkIntegers returns the problems of integers that a worker could not read: 1.0 and 1e30
// are integers for JSON schema.
func (o *object) checkIntegers(body string) []exchange.Problem {
	var raw map[string]json.RawMessage
	var problems []exchange.Problem
	for _, name := range slices.Sorted(maps.Keys(o.fields)) {
		field := o.fields[name]
		if kindOf(field.types) != "integer" || slices.Contains(field.types, "number") {
			continue
		}
		if raw == nil && json.Unmarshal([]byte(body), &raw) != nil {
			return nil // the schema allows a body that is not an object
		}
		text, there := raw[name]
		if _, err := strconv.ParseInt(string(text), 10, 64); there && err != nil && text[0] != 'n' {
			problems = append(problems, exchange.Problem{Field: name, Problem: fmt.Sprintf("not an integer: %.40s", text)})
		}
	}
	return problems
}

// checkBody returns the problems of a body, field by field.
func (o *object) checkBody(body any) []exchange.Problem {
	if o.shape.Fits(body) {
		return nil
	}
	if err := o.affordable(body); err != nil {
		return []exchange.Problem{problem("body", err)}
	}
	if o.resolved.Validate(body) == nil {
		return nil
	}
	faults := schema.Explain(o.root, body)
	problems := make([]exchange.Problem, len(faults))
	for i, f := range faults {
		problems[i] = problemOf(f)
	}
	return problems
}
