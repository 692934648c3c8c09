package route

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/oskadev/mailroom/internal/schema"
	"github.com/oskadev/mailroom/internal/schemacost"
)

// value is one argument, or one field of an object.
type value struct {
	name     string
	types    []string // types that the schema allows; empty: any
	items    []string // the same for the items of an array
	resolved *jsonschema.Resolved
	root     *jsonschema.Schema // that resolved was made of
	isField  bool               // they are the schema of an object with this field
	bare     bool               // the schema is a type alone: parsing text is the whole check

	cost schemacost.Cost
}

// newValue returns a value with the schema own, a part of root.
func newValue(name string, root, own *jsonschema.Schema, resolved *jsonschema.Resolved) value {
	v := value{name: name, types: schema.Types(root, own), resolved: resolved, root: root, bare: isBare(own)}
	if items := schema.Follow(root, own).Items; items != nil {
		v.items = schema.Types(root, items)
	}
	return v
}

// parse parses the text of a path or a query as the type that the schema declares.
func (v *value) parse(text string) (any, error) {
	parsed, err := parseAs(kindOf(v.types), text)
	if err != nil {
		return nil, err
	}
	if v.bare {
		return parsed, nil
	}
	return parsed, v.validate(plain(parsed))
}

// plain returns a parsed value as the schema library expects it: numbers as float64.
func plain(parsed any) any {
	if number, ok := parsed.(json.Number); ok {
		f, _ := number.Float64() // parseAs has checked it
		return f
	}
	return parsed
}

// parseAs parses text as a JSON type; an empty kind is a string.
func parseAs(kind, text string) (any, error) {
	if !utf8.ValidString(text) {
		return nil, errors.New("not UTF-8")
	}
	switch kind {
	case "integer":
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("not an integer: %.40q", text)
		}
		// Formatted again, since +1 and 01 are not JSON.
		return json.Number(strconv.FormatInt(n, 10)), nil
	case "number":
		var f float64
		// NaN and 0x10 are not JSON; null and surrounding space are, and the second test refuses them.
		if err := json.Unmarshal([]byte(text), &f); err != nil || strings.Trim(text, "-0123456789.eE+") != "" {
			return nil, fmt.Errorf("not a number: %.40q", text)
		}
		return json.Number(text), nil
	case "boolean":
		switch text {
		case "true":
			return true, nil
		case "false":
			return false, nil
		}
		return nil, fmt.Errorf("neither true nor false: %.40q", text)
	default:
		return text, nil
	}
}

// validate checks a value against its schema. The error is the first [schema.FaultError], with a
// path that begins with the name of the value.
func (v *value) validate(instance any) error {
	whole := instance
	if v.isField {
		whole = map[string]any{v.name: instance}
	}
	if err := v.affordable(whole); err != nil {
		return err
	}
	if v.resolved.Validate(whole) == nil {
		return nil
	}
	f := schema.Explain(v.root, whole)[0]
	if !v.isField {
		f.Path = "." + v.name + f.Path
	}
	return f
}

// parseAll parses the values of one query parameter.
func (v *value) parseAll(texts []string) (any, error) {
	if kindOf(v.types) != "array" {
		if len(texts) > 1 {
			return nil, fmt.Errorf("given %d times", len(texts))
		}
		return v.parse(texts[0])
	}
	list, instance := make([]any, len(texts)), make([]any, len(texts))
	for i, text := range texts {
		parsed, err := parseAs(kindOf(v.items), text)
		if err != nil {
			return nil, err
		}
		list[i], instance[i] = parsed, plain(parsed)
	}
	return list, v.validate(instance)
}
