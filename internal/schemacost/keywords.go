package schemacost

import (
	"fmt"
	"strings"
)

// holds says what the value of a keyword is.
type holds int

const (
	data      holds = iota // no schema
	oneSchema              // a schema, or a list of them
	schemas                // an item of a list of schemas
	named                  // schemas by names
	patterned              // schemas by patterns
)

// item returns what a list or an object holds that a keyword holds.
func (h holds) item() holds {
	switch h {
	case oneSchema, schemas, named, patterned:
		return schemas
	default:
		return data
	}
}

// keyword returns what a keyword holds. It returns an error if the name differs from that of
// a keyword in the case of letters alone: the library does not tell them apart.
func keyword(name string) (holds, error) {
	if h, known := kindOf(name); known {
		return h, nil
	}
	for _, one := range keywords() {
		if strings.EqualFold(one, name) && one != name {
			return data, fmt.Errorf("unknown keyword %q: write %s", name, one)
		}
	}
	return data, nil
}

func kindOf(name string) (h holds, known bool) {
	switch name {
	case "allOf", "anyOf", "oneOf", "not", "if", "then", "else", "prefixItems", "items", "additionalItems", "additionalProperties",
		"unevaluatedItems", "unevaluatedProperties", "contains", "propertyNames", "contentSchema":
		return oneSchema, true
	case "properties", "$defs", "definitions", "dependentSchemas", "dependencies":
		return named, true
	case "patternProperties":
		return patterned, true
	case "$ref", "pattern":
		return data, true
	}
	return data, false
}

// keywords are those that hold schemas, refer to them, or are patterns.
func keywords() []string {
	return []string{
		"allOf", "anyOf", "oneOf", "not", "if", "then", "else", "prefixItems", "items", "additionalItems", "additionalProperties",
		"unevaluatedItems", "unevaluatedProperties", "contains", "propertyNames", "contentSchema",
		"properties", "$defs", "definitions", "dependentSchemas", "dependencies", "patternProperties", "$ref", "pattern",
		"$id", "$schema", "$anchor", "$dynamicRef", "$dynamicAnchor",
	}
}

// samePart reports whether the schemas of a keyword judge the value itself, not its parts.
func samePart(name string) bool {
	switch name {
	case "allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas", "dependencies":
		return true
	}
	return false
}
