package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// maxDepth is how deep arrays and objects may lie in each other: far more than
// any schema asks for, and little enough for every library on the way.
const maxDepth = 256

// outline is what a look at the bytes of JSON tells, without reading its values.
type outline struct {
	names int // of fields, in all objects
	depth int
}

// outlineOf looks at JSON, or at anything else: it never fails.
func outlineOf(text string) outline {
	var o outline
	depth, inString := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case inString && c == '\\':
			i++ // whatever is escaped, it ends no string
		case c == '"':
			inString = !inString
		case inString:
		case c == ':':
			o.names++
		case c == '{' || c == '[':
			depth++
			o.depth = max(o.depth, depth)
		case c == '}' || c == ']':
			depth--
		}
	}
	return o
}

// fieldsIn counts the fields of all objects in a value that was read.
func fieldsIn(value any) int {
	n := 0
	switch v := value.(type) {
	case map[string]any:
		n = len(v)
		for _, field := range v {
			n += fieldsIn(field)
		}
	case []any:
		for _, item := range v {
			n += fieldsIn(item)
		}
	}
	return n
}

// readJSON reads a body strictly. It refuses what parsers understand differently
// although each takes it: of a name that is given twice one reads the first and
// another the last (RFC 8259, section 4).
func readJSON(body string) (any, *problem) {
	o := outlineOf(body)
	if o.depth > maxDepth {
		return nil, &problem{Field: "body", Problem: fmt.Sprintf("nested deeper than %d", maxDepth)}
	}
	var value any
	if err := json.Unmarshal([]byte(body), &value); err != nil {
		return nil, &problem{Field: "body", Problem: malformed(err)}
	}
	// A library that reads keeps one of each name.
	if o.names != fieldsIn(value) {
		return nil, &problem{Field: twice(body), Problem: "is given twice"}
	}
	return value, nil
}

// malformed says why JSON could not be read.
func malformed(err error) string {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return "out of range: " + wrong.Value // a number that no float64 can hold
	}
	return "malformed JSON: " + err.Error()
}

// twice finds the name that one object of a body has twice.
func twice(body string) string {
	type object struct {
		names   map[string]bool // nil: it is an array
		isValue bool            // the next token is one
	}
	var open []*object
	tokens := json.NewDecoder(strings.NewReader(body))
	for {
		token, err := tokens.Token()
		if err != nil {
			return "body"
		}
		var in *object
		if len(open) > 0 {
			in = open[len(open)-1]
		}
		if in != nil && in.names != nil && token != json.Delim('}') {
			if name, ok := token.(string); ok && !in.isValue {
				if in.names[name] {
					return name
				}
				in.names[name], in.isValue = true, true
				continue
			}
			in.isValue = false
		}
		switch token {
		case json.Delim('{'):
			open = append(open, &object{names: make(map[string]bool)})
		case json.Delim('['):
			open = append(open, &object{})
		case json.Delim('}'), json.Delim(']'):
			open = open[:len(open)-1]
		}
	}
}
