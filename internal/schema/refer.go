package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/oskadev/mailroom/internal/schemacost"
)

// Read reads a schema. It returns an error for one that costs too much (package schemacost)
// or refers in ways that are not supported. An empty text is the schema that everything fits.
func Read(text []byte) (*jsonschema.Schema, error) {
	s := &jsonschema.Schema{}
	if len(text) == 0 {
		return s, nil
	}
	if err := new(schemacost.Cost).Add(text); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, s); err != nil {
		return nil, err
	}
	if err := checkReferences(text); err != nil {
		return nil, err
	}
	if circular(s) {
		return nil, errCircular
	}
	if _, err := s.CloneSchemas().Resolve(nil); err != nil { // which notes in a schema what it finds
		return nil, err
	}
	return s, nil
}

var errCircular = errors.New("it refers to itself")

// maxFollow bounds how far a schema's references are followed, which may lead
// in circles.
const maxFollow = 8

// maxSteps bounds how many schemas are looked at for the types of one.
const maxSteps = 100

// checkReferences refuses references of a schema that Follow does not follow. A circle
// of such references would end the whole process, whichever service declared it.
func checkReferences(text []byte) error {
	var read any
	if err := json.Unmarshal(text, &read); err != nil {
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

// Follow goes where a schema refers to.
func Follow(root, s *jsonschema.Schema) *jsonschema.Schema {
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

// Types lists the types that a schema allows; none: it does not say.
func Types(root, s *jsonschema.Schema) []string {
	steps := 0
	var of func(s *jsonschema.Schema) []string
	of = func(s *jsonschema.Schema) []string {
		s = Follow(root, s)
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
