package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"
)

// maxFollow bounds how far a schema's references are followed, which may lead
// in circles.
const maxFollow = 8

// maxSteps bounds how many schemas are looked at for the types of one.
const maxSteps = 100

// checkReferences refuses references that target does not follow. A circle
// through one of them would take the whole process along, whoever declared it.
func checkReferences(schema []byte) error {
	if len(schema) == 0 {
		return nil
	}
	var read any
	if err := json.Unmarshal(schema, &read); err != nil {
		return err
	}
	var look func(v any) error
	look = func(v any) error {
		switch v := v.(type) {
		case []any:
			for _, item := range v {
				if err := look(item); err != nil {
					return err
				}
			}
		case map[string]any:
			for name, value := range v {
				text, isText := value.(string)
				followed := name == "$ref" && isFollowed(text)
				if isText && isReference(name) && !followed {
					return fmt.Errorf("%s %q is not supported: refer to #, #/$defs/NAME or #/definitions/NAME", name, text)
				}
				if err := look(value); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return look(read)
}

// isReference reports whether a keyword refers to a schema, or makes one that
// can be referred to.
func isReference(keyword string) bool {
	switch keyword {
	case "$ref", "$dynamicRef", "$recursiveRef", "$anchor", "$dynamicAnchor", "$id":
		return true
	}
	return false
}

// isFollowed reports whether target knows a reference of this form.
func isFollowed(ref string) bool {
	for _, prefix := range []string{"#/$defs/", "#/definitions/"} {
		if name, ok := strings.CutPrefix(ref, prefix); ok {
			return name != "" && !strings.ContainsAny(name, "/~%")
		}
	}
	return ref == "#"
}

// target is what a schema refers to, within its root; nil: nothing.
func target(root, s *jsonschema.Schema) *jsonschema.Schema {
	if s.Ref == "#" {
		return root
	}
	if name, ok := strings.CutPrefix(s.Ref, "#/$defs/"); ok {
		return root.Defs[name]
	}
	if name, ok := strings.CutPrefix(s.Ref, "#/definitions/"); ok {
		return root.Definitions[name]
	}
	return nil
}

// follow goes where a schema refers to.
func follow(root, s *jsonschema.Schema) *jsonschema.Schema {
	for range maxFollow {
		next := target(root, s)
		if next == nil {
			break
		}
		s = next
	}
	return s
}

// circular reports whether a schema comes back to itself without a step into
// the value: to validate by it would never end, and take the process along.
func circular(root *jsonschema.Schema) bool {
	const entered, left = 1, 2
	seen := make(map[*jsonschema.Schema]int)
	var enter func(s *jsonschema.Schema) bool
	enter = func(s *jsonschema.Schema) bool {
		if s == nil || seen[s] != 0 {
			return s != nil && seen[s] == entered
		}
		seen[s] = entered
		again := slices.ContainsFunc(slices.Concat(s.AllOf, s.AnyOf, s.OneOf,
			[]*jsonschema.Schema{target(root, s), s.Not, s.If, s.Then, s.Else},
			slices.Collect(maps.Values(s.DependentSchemas))), enter)
		seen[s] = left
		return again
	}
	starts := slices.Concat([]*jsonschema.Schema{root}, slices.Collect(maps.Values(root.Defs)), slices.Collect(maps.Values(root.Definitions)))
	return slices.ContainsFunc(starts, enter)
}

// typesOf lists the types that a schema allows; none: it does not say.
func typesOf(root, s *jsonschema.Schema) []string {
	steps := 0
	var of func(s *jsonschema.Schema) []string
	of = func(s *jsonschema.Schema) []string {
		s = follow(root, s)
		if steps++; s.Type != "" {
			return []string{s.Type}
		}
		if len(s.Types) > 0 || steps > maxSteps {
			return s.Types
		}
		var types []string
		for _, one := range slices.Concat(s.AnyOf, s.OneOf) {
			more := of(one)
			if len(more) == 0 {
				return nil
			}
			types = append(types, more...)
		}
		return types
	}
	return of(s)
}

// isBare reports whether a schema asks for a type and nothing else.
func isBare(s *jsonschema.Schema) bool {
	switch s.Type {
	case "integer", "number", "boolean", "string":
	default:
		return false
	}
	text, err := json.Marshal(&jsonschema.Schema{Type: s.Type, Title: s.Title, Description: s.Description})
	all, err2 := json.Marshal(s)
	return err == nil && err2 == nil && string(text) == string(all)
}

// kindOf is the type that text is read as: null says nothing.
func kindOf(types []string) string {
	for _, t := range types {
		if t != "null" {
			return t
		}
	}
	return ""
}

// explain says in a few words why a value does not fit.
func explain(types []string, instance any, err error) error {
	if got := jsonType(instance); len(types) > 0 && !matches(types, instance, got) {
		if len(types) > 1 { // that a field may be null is nothing to ask for
			types = slices.DeleteFunc(slices.Clone(types), func(t string) bool { return t == "null" })
		}
		return fmt.Errorf("want %s, got %s", strings.Join(types, " or "), got)
	}
	// The schema library says first where in its schema it was.
	text := err.Error()
	for {
		rest, where := strings.CutPrefix(text, "validating ")
		_, rest, more := strings.Cut(rest, ": ")
		if !where || !more {
			return errors.New(text)
		}
		text = rest
	}
}

func matches(types []string, instance any, got string) bool {
	f, isNumber := instance.(float64)
	return slices.Contains(types, got) || isNumber && f == float64(int64(f)) && slices.Contains(types, "integer")
}

// jsonType is the type of a value as encoding/json reads it.
func jsonType(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case float64:
		return "number"
	case string:
		return "string"
	case []any:
		return "array"
	default:
		return "object"
	}
}
