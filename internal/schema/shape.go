package schema

import (
	"math"
	"reflect"
	"slices"

	"github.com/google/jsonschema-go/jsonschema"
)

// Shape is a schema that says no more than types, the fields of objects, the items of
// arrays and the bounds of numbers. The nil Shape knows nothing, and nothing fits it.
type Shape struct {
	types      []string // allowed; none: all
	fields     map[string]*Shape
	required   []string
	additional *Shape // of fields that have no shape of their own
	open       bool   // such fields may be anything
	items      *Shape // nil: anything

	minimum, maximum *float64 // inclusive; nil: no bound
}

// Of returns the shape of a schema; nil where the schema says anything else, at
// any depth. Titles, descriptions and the like say nothing about values.
func Of(s *jsonschema.Schema) *Shape {
	if s == nil || !plain(s) {
		return nil
	}
	shape := &Shape{types: s.Types, required: s.Required, open: s.AdditionalProperties == nil, minimum: s.Minimum, maximum: s.Maximum}
	if s.Type != "" {
		shape.types = []string{s.Type}
	}
	if s.AdditionalProperties != nil && !Nothing(s.AdditionalProperties) {
		if shape.additional = Of(s.AdditionalProperties); shape.additional == nil {
			return nil
		}
		shape.open = shape.additional.anything()
	}
	if s.Items != nil {
		if shape.items = Of(s.Items); shape.items == nil {
			return nil
		}
	}
	shape.fields = make(map[string]*Shape, len(s.Properties))
	for name, property := range s.Properties {
		field := Of(property)
		if field == nil {
			return nil
		}
		shape.fields[name] = field
	}
	return shape
}

// plain reports whether a schema has only the keywords that a Shape knows.
func plain(s *jsonschema.Schema) bool {
	rest := *s
	rest.Type, rest.Types = "", nil
	rest.Properties, rest.PropertyOrder, rest.Required, rest.AdditionalProperties, rest.Items = nil, nil, nil, nil, nil
	rest.Title, rest.Description, rest.Comment, rest.Examples, rest.Default = "", "", "", nil, nil
	rest.Deprecated, rest.ReadOnly, rest.WriteOnly = false, false, false
	rest.Minimum, rest.Maximum = nil, nil
	return reflect.DeepEqual(rest, jsonschema.Schema{})
}

// Nothing reports whether no value fits: false reads as {"not":{}}.
func Nothing(s *jsonschema.Schema) bool {
	rest := *s
	rest.Not = nil
	return s.Not != nil && reflect.DeepEqual(*s.Not, jsonschema.Schema{}) && reflect.DeepEqual(rest, jsonschema.Schema{})
}

func (s *Shape) anything() bool {
	return len(s.types) == 0 && len(s.fields) == 0 && len(s.required) == 0 && s.open && s.items == nil && s.minimum == nil && s.maximum == nil
}

// OnlyObject reports whether every object fits, and nothing else does.
func (s *Shape) OnlyObject() bool {
	return s != nil && slices.Equal(s.types, []string{"object"}) && len(s.fields) == 0 && len(s.required) == 0 && s.open
}

// Fits reports whether a value, as encoding/json reads it into any, certainly
// fits. False: it may not.
func (s *Shape) Fits(value any) bool {
	if s == nil {
		return false
	}
	switch v := value.(type) {
	case map[string]any:
		return s.allows("object") && s.fitsFields(v)
	case []any:
		return s.allows("array") && (s.items == nil || !slices.ContainsFunc(v, func(item any) bool { return !s.items.Fits(item) }))
	case string:
		return s.allows("string")
	case float64:
		return (s.allows("number") || s.allows("integer") && v == math.Trunc(v)) &&
			(s.minimum == nil || v >= *s.minimum) && (s.maximum == nil || v <= *s.maximum)
	case bool:
		return s.allows("boolean")
	case nil:
		return s.allows("null")
	default:
		return false
	}
}

// MayBeObject reports whether the schema allows an object; a nil Shape does.
func (s *Shape) MayBeObject() bool { return s == nil || s.allows("object") }

func (s *Shape) allows(name string) bool { return len(s.types) == 0 || slices.Contains(s.types, name) }

func (s *Shape) fitsFields(object map[string]any) bool {
	for _, name := range s.required {
		if _, there := object[name]; !there {
			return false
		}
	}
	if s.open && len(s.fields) == 0 {
		return true
	}
	for name, value := range object {
		field, declared := s.fields[name]
		switch {
		case declared:
			if !field.Fits(value) {
				return false
			}
		case s.open:
		case !s.additional.Fits(value):
			return false
		}
	}
	return true
}
