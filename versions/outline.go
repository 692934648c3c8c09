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

// outline is what is known of a value before a plan runs: as much of its JSON schema
// as can say for sure that one value does not fit in the place of another. The nil
// outline knows nothing.
type outline struct {
	types  []string            // it is of one of these; none: not known
	fields map[string]*outline // of an object
	always []string            // those of them that are always there
	closed bool                // there are no others
	items  *outline            // of an array
}

// outlineOf reads the schema of a manifest or of a plan; nil: it says nothing that can
// be judged by. What refers to itself has an outline that does.
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

// orNull is the outline of what may be nil instead, where it may.
func (o *outline) orNull(may bool) *outline {
	if o == nil || !may || len(o.types) == 0 {
		return o
	}
	or := *o
	or.types = append([]string{"null"}, o.types...)
	return &or
}

// outlines are those of what expressions may speak of, by name.
type outlines map[string]*outline

// of gives what is known of an expression's value.
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

// comparison tells where what is given does not fit what is wanted.
type comparison struct {
	tell  func(problem string) // of what cannot fit, whatever comes
	maybe func(problem string) // of what depends on a call
	seen  map[[2]*outline]bool // since both may hold themselves
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
	certain = certain && len(shared) == 1 // else it may be a value of another type
	if slices.Contains(shared, "object") {
		c.compareFields(given, wanted, where, certain)
	}
	if slices.Contains(shared, "array") {
		c.compare(given.items, wanted.items, where+"[]", false) // which may be empty
	}
}

func (c *comparison) compareFields(given, wanted *outline, where string, certain bool) {
	for _, name := range wanted.always {
		_, known := given.fields[name]
		switch {
		case !known && given.closed:
			c.say(certain, "%s.%s is missing", where, name)
		case known && !slices.Contains(given.always, name):
			c.say(false, "%s.%s may be left out, and is wanted", where, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(given.fields)) {
		always := certain && slices.Contains(given.always, name)
		field, known := wanted.fields[name]
		if !known && wanted.closed {
			c.say(always, "%s.%s is not known there; it may have %s", where, name, strings.Join(slices.Sorted(maps.Keys(wanted.fields)), ", "))
			continue
		}
		c.compare(given.fields[name], field, where+"."+name, always)
	}
}

func (c *comparison) say(certain bool, format string, args ...any) {
	if problem := fmt.Sprintf(format, args...); certain {
		c.tell(problem)
	} else {
		c.maybe(problem)
	}
}

// anyType lists all types of JSON.
func anyType() []string { return []string{"null", "boolean", "number", "string", "array", "object"} }

// overlap lists the types that a value of both can be of. A number may be whole.
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
