package versions

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/google/jsonschema-go/jsonschema"

	"github.com/oskadev/mailroom/internal/schema"
)

// outline describes a value before a plan runs. It holds those parts of a JSON schema by
// which one value certainly does not fit in the place of another. A nil outline means that
// nothing is known.
type outline struct {
	types  []string            // the value is of one of these; empty: unknown
	fields map[string]*outline // of an object, by name
	always []string            // the names of the fields that every value has
	closed bool                // the object has no other fields
	items  *outline            // of an array
}

// outlineOf reads the schema of a manifest or of a plan; it returns nil for a schema that
// cannot be read. The outline of a recursive schema is recursive.
func outlineOf(text []byte) *outline {
	root, err := schema.Read(text)
	if err != nil {
		return nil
	}
	known := make(map[*jsonschema.Schema]*outline)
	var read func(s *jsonschema.Schema) *outline
	read = func(s *jsonschema.Schema) *outline {
		if s == nil {
			return nil
		}
		types := schema.Types(root, s)
		s = schema.Follow(root, s)
		if o, again := known[s]; again {
			return o
		}
		o := &outline{types: types, fields: make(map[string]*outline, len(s.Properties)), always: s.Required}
		known[s] = o
		for name, property := range s.Properties {
			o.fields[name] = read(property)
		}
		o.items = read(s.Items)
		o.closed = s.AdditionalProperties != nil && schema.Nothing(s.AdditionalProperties) && len(s.PatternProperties) == 0
		return o
	}
	return read(root)
}

// orNull returns the outline of a value that may also be null, if may is true.
func (o *outline) orNull(may bool) *outline {
	if o == nil || !may || len(o.types) == 0 {
		return o
	}
	or := *o
	or.types = append([]string{"null"}, o.types...)
	return &or
}

// outlines holds the outlines of the names that expressions may use.
type outlines map[string]*outline

// of returns the outline of the value of an expression.
func (known outlines) of(node ast.Node) *outline {
	switch n := node.(type) {
	case *ast.IdentifierNode:
		return known[n.Value]
	case *ast.MemberNode:
		object := known.of(n.Node)
		name, literal := n.Property.(*ast.StringNode)
		if !literal || object == nil {
			return nil
		}
		return object.fields[name.Value].orNull(!slices.Contains(object.always, name.Value))
	case *ast.MapNode:
		return known.ofMap(n)
	case *ast.NilNode:
		return &outline{types: []string{"null"}}
	case *ast.ChainNode, *ast.ConditionalNode:
		return nil
	}
	if kind := kindOf(node.Type()); kind != "" {
		return &outline{types: []string{kind}}
	}
	return nil
}

func (known outlines) ofMap(n *ast.MapNode) *outline {
	o := &outline{types: []string{"object"}, fields: make(map[string]*outline), closed: true}
	for _, pair := range n.Pairs {
		entry, _ := pair.(*ast.PairNode) // a map has no other nodes
		name, literal := entry.Key.(*ast.StringNode)
		if !literal {
			o.closed = false
			continue
		}
		o.fields[name.Value] = known.of(entry.Value)
		o.always = append(o.always, name.Value)
	}
	return o
}

// comparison reports where a given value does not fit the wanted one.
type comparison struct {
	never func(problem string) // the value of no call fits
	maybe func(problem string) // the values of some calls do not fit
	seen  map[[2]*outline]bool // pairs compared already; both outlines may be recursive
}

func (c *comparison) compare(given, wanted *outline, where string, certain bool) {
	if wanted == nil || given == nil || c.seen[[2]*outline{given, wanted}] {
		return
	}
	c.seen[[2]*outline{given, wanted}] = true
	shared := overlap(given.types, wanted.types)
	if len(shared) == 0 {
		c.say(certain, "%s has to be of type %s, and is of type %s", where, strings.Join(wanted.types, " or "), strings.Join(given.types, " or "))
		return
	}
	certain = certain && len(shared) == 1 // otherwise the value may be of another type
	if slices.Contains(shared, "object") {
		c.compareFields(given, wanted, where, certain)
	}
	if slices.Contains(shared, "array") {
		c.compare(given.items, wanted.items, where+"[]", false) // the array may be empty
	}
}

func (c *comparison) compareFields(given, wanted *outline, where string, certain bool) {
	for _, name := range wanted.always {
		_, known := given.fields[name]
		switch {
		case !known && given.closed:
			c.say(certain, "%s.%s is missing", where, name)
		case known && !slices.Contains(given.always, name):
			c.say(false, "%s.%s is required, but may be missing", where, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(given.fields)) {
		always := certain && slices.Contains(given.always, name)
		field, known := wanted.fields[name]
		if !known && wanted.closed {
			c.say(always, "%s.%s is unknown there; known are %s", where, name, strings.Join(slices.Sorted(maps.Keys(wanted.fields)), ", "))
			continue
		}
		c.compare(given.fields[name], field, where+"."+name, always)
	}
}

func (c *comparison) say(certain bool, format string, args ...any) {
	if problem := fmt.Sprintf(format, args...); certain {
		c.never(problem)
	} else {
		c.maybe(problem)
	}
}

// anyType lists all types of JSON.
func anyType() []string { return []string{"null", "boolean", "number", "string", "array", "object"} }

// overlap lists the types in both lists. A number may be an integer.
func overlap(a, b []string) []string {
	general := func(types []string) []string {
		if len(types) == 0 {
			return anyType()
		}
		all := slices.Clone(types)
		for i := range all {
			if all[i] == "integer" {
				all[i] = "number"
			}
		}
		slices.Sort(all)
		return slices.Compact(all)
	}
	b = general(b)
	return slices.DeleteFunc(general(a), func(one string) bool { return !slices.Contains(b, one) })
}
