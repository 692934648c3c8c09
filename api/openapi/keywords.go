package openapi

import (
	"encoding/json"
	"slices"
	"strings"
)

// keyword returns the value that a keyword of JSON schema has in a document; false: the
// keyword is left out. The schema has been read by package schema, which has checked the
// types of most keywords; what remains is what OpenAPI forbids and the library allows.
func (s *source) keyword(name string, value any) (any, bool) {
	switch name {
	case "description":
		text, ok := value.(string)
		return plainText(text), ok
	case "title", "format", "pattern", "contentEncoding", "contentMediaType",
		"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
		"uniqueItems", "deprecated", "readOnly", "writeOnly", "dependentRequired":
		return value, value != nil
	case "const", "default":
		return value, !refers(value)
	case "enum", "examples":
		list, ok := value.([]any)
		return list, ok && len(list) > 0 && !refers(list)
	case "multipleOf", "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties", "minContains", "maxContains":
		return value, isSize(name, value)
	case "required":
		list := uniqueStrings(value, nil)
		return list, len(list) > 0
	case "type":
		return typeNames(value)
	case "additionalProperties":
		if allowed, ok := value.(bool); ok {
			return allowed, true
		}
		return s.schema(value), true
	case "items", "contains", "not", "if", "then", "else", "propertyNames", "unevaluatedItems", "unevaluatedProperties":
		if _, ok := value.([]any); ok {
			return nil, false // a list of items, of an older draft
		}
		return s.schema(value), true
	case "allOf", "anyOf", "oneOf", "prefixItems":
		list, ok := value.([]any)
		return s.list(list), ok && len(list) > 0
	case "properties", "patternProperties", "dependentSchemas":
		members, ok := value.(map[string]any)
		return s.members(members), ok
	}
	return nil, false
}

func (s *source) list(schemas []any) []any {
	list := make([]any, len(schemas))
	for i, one := range schemas {
		list[i] = s.schema(one)
	}
	return list
}

func (s *source) members(schemas map[string]any) map[string]any {
	members := make(map[string]any, len(schemas))
	for name, one := range schemas {
		members[name] = s.schema(one)
	}
	return members
}

// refers reports whether a value, which is data and not a schema, looks like a reference:
// readers of documents would follow it.
func refers(value any) bool {
	switch v := value.(type) {
	case []any:
		return slices.ContainsFunc(v, refers)
	case map[string]any:
		for name, member := range v {
			if name == "$ref" || refers(member) {
				return true
			}
		}
	}
	return false
}

// plainText returns a text for a description, which is Markdown: tags in it are not HTML.
func plainText(text string) string {
	var b strings.Builder
	for i, r := range text {
		if r == '<' && i+1 < len(text) && (isWord(rune(text[i+1])) || strings.ContainsRune("/!?", rune(text[i+1]))) {
			b.WriteString("&lt;")
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// isSize reports whether the value of a keyword is a number that it may be: not negative,
// and more than 0 for multipleOf.
func isSize(keyword string, value any) bool {
	number, ok := value.(json.Number)
	if !ok {
		return false
	}
	f, err := number.Float64()
	return err == nil && (f > 0 || f == 0 && keyword != "multipleOf")
}

// uniqueStrings returns the strings in a list, each once. allowed names the strings to keep;
// nil: all.
func uniqueStrings(value any, allowed []string) []string {
	list, _ := value.([]any)
	var unique []string
	for _, item := range list {
		text, ok := item.(string)
		if ok && !slices.Contains(unique, text) && (allowed == nil || slices.Contains(allowed, text)) {
			unique = append(unique, text)
		}
	}
	return unique
}

// typeNames returns the value of the keyword type.
func typeNames(value any) (any, bool) {
	known := []string{"array", "boolean", "integer", "null", "number", "object", "string"}
	if name, ok := value.(string); ok {
		return name, slices.Contains(known, name)
	}
	list := uniqueStrings(value, known)
	return list, len(list) > 0
}
