package route

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/oskadev/mailroom/api/exchange"
	"github.com/oskadev/mailroom/internal/schema"
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

// problem returns the problem of a value by the error of its parsing or its validation.
func problem(name string, err error) exchange.Problem {
	if f, ok := errors.AsType[schema.FaultError](err); ok {
		return problemOf(f)
	}
	return exchange.Problem{Field: name, Problem: err.Error()}
}

// problemOf returns the problem of a part of an object, or of the whole body.
func problemOf(f schema.FaultError) exchange.Problem {
	if f.Path == "" {
		return exchange.Problem{Field: "body", Problem: f.Problem}
	}
	return exchange.Problem{Field: strings.TrimPrefix(f.Path, "."), Problem: f.Problem}
}
