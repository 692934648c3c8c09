package workers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"
)

// describe adds the struct tags description and example of a type to its schema.
func describe(s *jsonschema.Schema, t reflect.Type) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t.Kind() == reflect.Struct && s.Properties != nil:
		for _, field := range reflect.VisibleFields(t) {
			if property := s.Properties[nameOf(field)]; property != nil && !field.Anonymous {
				if err := describeField(property, field); err != nil {
					return fmt.Errorf("field %s of %s: %w", field.Name, t, err)
				}
			}
		}
	case (t.Kind() == reflect.Slice || t.Kind() == reflect.Array) && s.Items != nil:
		return describe(s.Items, t.Elem())
	case t.Kind() == reflect.Map && s.AdditionalProperties != nil:
		return describe(s.AdditionalProperties, t.Elem())
	}
	return nil
}

// nameOf returns the name that a field has in JSON; empty: it has none.
func nameOf(field reflect.StructField) string {
	name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
	switch {
	case !field.IsExported():
		return ""
	case name == "":
		return field.Name
	default:
		return name
	}
}

func describeField(property *jsonschema.Schema, field reflect.StructField) error {
	if text, ok := field.Tag.Lookup("description"); ok {
		property.Description = text
	}
	if text, ok := field.Tag.Lookup("example"); ok {
		example, err := parseExample(property, text)
		if err != nil {
			return err
		}
		property.Examples = append(property.Examples, example)
	}
	return describe(property, field.Type)
}

// parseExample returns the value of a tag: the text itself for a string, otherwise JSON.
func parseExample(s *jsonschema.Schema, text string) (json.RawMessage, error) {
	example := json.RawMessage(text)
	if s.Type == "string" || slices.Contains(s.Types, "string") {
		quoted, err := json.Marshal(text)
		if err != nil {
			return nil, err
		}
		example = quoted
	}
	resolved, err := s.CloneSchemas().Resolve(nil)
	if err != nil {
		return nil, err
	}
	if err := fits(resolved, example); err != nil {
		return nil, fmt.Errorf("the example %q does not fit: %w", text, err)
	}
	return example, nil
}

// fits returns an error if a JSON value does not fit its schema.
func fits(resolved *jsonschema.Resolved, value json.RawMessage) error {
	var instance any
	if err := json.Unmarshal(value, &instance); err != nil {
		return err
	}
	return resolved.Validate(instance)
}

// describe adds the struct tags of the field that holds a parameter to its schema.
func (p *parameter) describe(field reflect.StructField) error {
	if p.resolved == nil { // the type has a fault already
		return nil
	}
	described := &jsonschema.Schema{}
	if err := json.Unmarshal(p.schema, described); err != nil {
		return err
	}
	if err := describeField(described, field); err != nil {
		return err
	}
	text, err := json.Marshal(described)
	p.schema = text
	return err
}

// addExample adds an example to the schema of a parameter.
func (p *parameter) addExample(value any) error {
	example, err := json.Marshal(value)
	if err != nil {
		return err
	}
	if p.resolved == nil { // the type has a fault already
		return nil
	}
	if err := fits(p.resolved, example); err != nil {
		return fmt.Errorf("the example %s does not fit: %w", bytes.TrimSpace(example), err)
	}
	described := make(map[string]json.RawMessage)
	var examples []json.RawMessage
	if string(p.schema) != "true" { // any value fits
		if err := json.Unmarshal(p.schema, &described); err != nil {
			return err
		}
	}
	if known := described["examples"]; known != nil {
		if err := json.Unmarshal(known, &examples); err != nil {
			return err
		}
	}
	if described["examples"], err = json.Marshal(append(examples, example)); err != nil {
		return err
	}
	p.schema, err = json.Marshal(described)
	return err
}

// addExamples adds the examples of the options to the arguments and to the result.
func (a *action) addExamples(result *parameter) {
	for _, args := range a.examples {
		if len(args) > len(a.args) {
			a.faults = append(a.faults, fmt.Errorf("action %s: an example has %d arguments, the handler takes %d", a.declared.Name, len(args), len(a.args)))
			continue
		}
		for i, arg := range args {
			if err := a.args[i].addExample(arg); err != nil {
				a.faults = append(a.faults, fmt.Errorf("action %s: argument %d: %w", a.declared.Name, i, err))
			}
		}
	}
	for _, example := range a.results {
		if err := result.addExample(example); err != nil {
			a.faults = append(a.faults, fmt.Errorf("action %s: result: %w", a.declared.Name, err))
		}
	}
}
