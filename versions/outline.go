package versions

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/google/jsonschema-go/jsonschema"

	"github.com/oskadev/mailroom/bus/schema"
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

// deepest is how far into a value is looked, which may hold values like itself.
const deepest = 8

// outlineOf reads the schema of a manifest or of a plan; nil: it says nothing that can
// be judged by.
func outlineOf(text []byte) *outline {
	root, err := schema.Read(text)
	if err != nil {
		return nil
	}
	return outlineWithin(root, root, 0)
}

func outlineWithin(root, s *jsonschema.Schema, depth int) *outline {
	if s == nil || depth > deepest {
		return nil
	}
	o := &outline{types: schema.Types(root, s), fields: make(map[string]*outline)}
	s = schema.Follow(root, s)
	for name, property := range s.Properties {
		o.fields[name] = outlineWithin(root, property, depth+1)
	}
	o.always, o.items = s.Required, outlineWithin(root, s.Items, depth+1)
	// {"not":{}} is how "additionalProperties": false reads.
	o.closed = s.AdditionalProperties != nil && s.AdditionalProperties.Not != nil && len(s.PatternProperties) == 0
	return o
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
		if name, literal := n.Property.(*ast.StringNode); literal && object != nil {
			return object.fields[name.Value]
		}
		return nil
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

// misfits tells what of a given value cannot fit what is wanted, whatever comes. What
// depends on a call is told to maybe.
func (wanted *outline) misfits(given *outline, where string, tell, maybe func(problem string)) {
	if wanted == nil || given == nil {
		return
	}
	if !overlap(given.types, wanted.types) {
		tell(fmt.Sprintf("%s has to be of type %s, and is of type %s", where, strings.Join(wanted.types, " or "), strings.Join(given.types, " or ")))
		return
	}
	if may(wanted.types, "object") && may(given.types, "object") {
		wanted.fieldMisfits(given, where, tell, maybe)
	}
	if may(wanted.types, "array") && may(given.types, "array") {
		wanted.items.misfits(given.items, where+"[]", tell, maybe)
	}
}

func (wanted *outline) fieldMisfits(given *outline, where string, tell, maybe func(problem string)) {
	for _, name := range wanted.always {
		_, known := given.fields[name]
		switch {
		case !known && given.closed:
			tell(fmt.Sprintf("%s.%s is missing", where, name))
		case known && !slices.Contains(given.always, name):
			maybe(fmt.Sprintf("%s.%s may be left out by who calls, and is wanted", where, name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(given.fields)) {
		field, known := wanted.fields[name]
		if !known && wanted.closed {
			tell(fmt.Sprintf("%s.%s is not known there; it may have %s", where, name, strings.Join(slices.Sorted(maps.Keys(wanted.fields)), ", ")))
			continue
		}
		field.misfits(given.fields[name], where+"."+name, tell, maybe)
	}
}

func may(types []string, one string) bool { return len(types) == 0 || slices.Contains(types, one) }

// overlap reports whether a value can be of a type of both.
func overlap(a, b []string) bool {
	if len(a) == 0 || len(b) == 0 {
		return true
	}
	return slices.ContainsFunc(a, func(one string) bool {
		number := one == "integer" || one == "number" // a whole one may be either
		return slices.Contains(b, one) || number && (slices.Contains(b, "integer") || slices.Contains(b, "number"))
	})
}
