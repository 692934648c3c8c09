package route

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"
)

// isBare reports whether a schema is a scalar type and says nothing else about values.
func isBare(s *jsonschema.Schema) bool {
	switch s.Type {
	case "integer", "number", "boolean", "string":
	default:
		return false
	}
	text, err := json.Marshal(&jsonschema.Schema{Type: s.Type, Title: s.Title, Description: s.Description, Examples: s.Examples})
	all, err2 := json.Marshal(s)
	return err == nil && err2 == nil && string(text) == string(all)
}

// kindOf returns the type to parse text as: the first one but null; empty: any.
func kindOf(types []string) string {
	for _, t := range types {
		if t != "null" {
			return t
		}
	}
	return ""
}

// explain returns a short error for a value that does not fit its schema.
func explain(types []string, instance any, err error) error {
	if got := jsonType(instance); len(types) > 0 && !matches(types, instance, got) {
		if len(types) > 1 { // nobody needs to hear that null is possible
			types = slices.DeleteFunc(slices.Clone(types), func(t string) bool { return t == "null" })
		}
		return fmt.Errorf("want %s, got %s", strings.Join(types, " or "), got)
	}
	// The library begins its error with the places in the schema.
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

// matches reports whether a value of type got has one of the types.
func matches(types []string, instance any, got string) bool {
	f, isNumber := instance.(float64)
	return slices.Contains(types, got) || isNumber && f == float64(int64(f)) && slices.Contains(types, "integer")
}

// jsonType returns the JSON type of a decoded value.
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
