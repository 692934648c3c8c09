package schema

import (
	"maps"
	"slices"

	"github.com/google/jsonschema-go/jsonschema"
)

// MaxWork is how many schemas a gateway lets the library visit for one value.
const MaxWork = 1_000_000

// Work returns how many schemas the library visits at most to validate a value; it stops
// counting over MaxWork. A recursive schema may visit a part of a value twice as often as
// the part around it, at each level.
func Work(root *jsonschema.Schema, value any) int {
	w := &work{root: root}
	w.visit(value, map[*jsonschema.Schema]float64{root: 1})
	return int(min(w.total, MaxWork+1))
}

// work counts visits.
type work struct {
	root  *jsonschema.Schema
	total float64
}

// visit counts the visits of a value, whose schemas are visited so many times, and of its
// parts.
func (w *work) visit(value any, schemas map[*jsonschema.Schema]float64) {
	switch v := value.(type) {
	case map[string]any:
		for name, part := range v {
			below := w.below(schemas, func(s *jsonschema.Schema, add func(...*jsonschema.Schema)) {
				own, declared := s.Properties[name]
				if add(own, s.UnevaluatedProperties); !declared {
					add(s.AdditionalProperties)
				}
				add(slices.Collect(maps.Values(s.PatternProperties))...)
			})
			if w.total > MaxWork {
				return
			}
			w.visit(part, below)
		}
	case []any:
		below := w.below(schemas, func(s *jsonschema.Schema, add func(...*jsonschema.Schema)) {
			add(s.Items, s.AdditionalItems, s.Contains, s.UnevaluatedItems)
			add(s.PrefixItems...)
			add(s.ItemsArray...)
		})
		each := 0.0
		for _, times := range below {
			each += times
		}
		for _, part := range v {
			if w.total += each; w.total > MaxWork {
				return
			}
			w.visit(part, below)
		}
	}
}

// parts passes the schemas of a part of a value to add.
type parts func(s *jsonschema.Schema, add func(...*jsonschema.Schema))

// below returns the schemas of a part of a value, and how often each is visited.
func (w *work) below(schemas map[*jsonschema.Schema]float64, of parts) map[*jsonschema.Schema]float64 {
	below := make(map[*jsonschema.Schema]float64)
	for s, times := range schemas {
		w.collect(s, times, below, of)
	}
	return below
}

// collect adds the schemas of a part of a value, by a schema of the value and those that
// judge the same value. The cost of schemas bounds how many these are (package schemacost).
func (w *work) collect(s *jsonschema.Schema, times float64, below map[*jsonschema.Schema]float64, of parts) {
	if s == nil || w.total > MaxWork {
		return
	}
	w.total += times
	of(s, func(added ...*jsonschema.Schema) {
		for _, one := range added {
			if one != nil {
				below[one] += times
			}
		}
	})
	for _, list := range [][]*jsonschema.Schema{s.AllOf, s.AnyOf, s.OneOf, {target(w.root, s), s.Not, s.If, s.Then, s.Else}} {
		for _, one := range list {
			w.collect(one, times, below, of)
		}
	}
	for _, list := range []map[string]*jsonschema.Schema{s.DependentSchemas, s.DependencySchemas} {
		for _, one := range list {
			w.collect(one, times, below, of)
		}
	}
}
