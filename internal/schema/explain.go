package schema

import (
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/google/jsonschema-go/jsonschema"
)

const (
	maxFaults = 100 // that Explain lists
	maxValue  = 40  // characters of a value in a problem
	maxWanted = 200 // characters of a list of values, or of a pattern
)

// FaultError says which part of a value does not fit a schema, and what the schema wants there.
type FaultError struct {
	Path    string // such as .address.lines[2]; empty: the whole value
	Problem string // such as: want integer, got string "x"
}

func (f FaultError) Error() string { return f.Problem }

// Explain returns the faults of a value that does not fit a schema, at most 100, in the order
// of the schema's required fields and then of the value. It judges by the same keywords as
// the library, except for unevaluatedItems, unevaluatedProperties and dependentSchemas. If it
// finds no fault, it returns one that names the whole value.
func Explain(root *jsonschema.Schema, value any) []FaultError {
	e := &explainer{root: root, patterns: make(map[string]*regexp.Regexp)}
	if e.look(root, "", value); len(e.faults) == 0 {
		e.add("", "does not fit its schema")
	}
	return e.faults
}

// Describe returns the type of a value and, if it is short to say, the value.
func Describe(value any) string {
	switch value.(type) {
	case nil:
		return "null"
	case map[string]any:
		return "object"
	case []any:
		return "array"
	}
	return jsonType(value) + " " + cut(text(value), maxValue)
}

// explainer collects the faults of one value.
type explainer struct {
	root     *jsonschema.Schema
	patterns map[string]*regexp.Regexp // compiled so far
	faults   []FaultError
}

func (e *explainer) add(path, format string, args ...any) {
	e.faults = append(e.faults, FaultError{Path: path, Problem: fmt.Sprintf(format, args...)})
}

// fits reports whether a value has no fault.
func (e *explainer) fits(s *jsonschema.Schema, value any) bool {
	return len(e.faultsOf(s, "", value)) == 0
}

func (e *explainer) faultsOf(s *jsonschema.Schema, path string, value any) []FaultError {
	alone := &explainer{root: e.root, patterns: e.patterns}
	alone.look(s, path, value)
	return alone.faults
}

// look adds the faults of a value. A value of the wrong type has no other fault.
func (e *explainer) look(s *jsonschema.Schema, path string, value any) {
	if len(e.faults) >= maxFaults {
		return
	}
	if types := Types(e.root, s); len(types) > 0 && !allows(types, value) {
		if len(types) > 1 {
			types = slices.DeleteFunc(slices.Clone(types), func(t string) bool { return t == "null" })
		}
		slices.Sort(types)
		e.add(path, "want %s, got %s", strings.Join(slices.Compact(types), " or "), Describe(value))
		return
	}
	if next := target(e.root, s); next != nil {
		e.look(next, path, value)
	}
	if len(s.Enum) > 0 && !slices.ContainsFunc(s.Enum, func(one any) bool { return text(one) == text(value) }) {
		wanted := make([]string, len(s.Enum))
		for i, one := range s.Enum {
			wanted[i] = text(one)
		}
		e.add(path, "want one of %s, got %s", cut(strings.Join(wanted, ", "), maxWanted), Describe(value))
	}
	if s.Const != nil && text(*s.Const) != text(value) {
		e.add(path, "want %s, got %s", cut(text(*s.Const), maxWanted), Describe(value))
	}
	e.combine(s, path, value)
	switch v := value.(type) {
	case float64:
		e.number(s, path, v)
	case string:
		e.text(s, path, v)
	case []any:
		e.array(s, path, v)
	case map[string]any:
		e.object(s, path, v)
	}
}

// combine adds the faults by the keywords that join schemas.
func (e *explainer) combine(s *jsonschema.Schema, path string, value any) {
	for _, one := range s.AllOf {
		e.look(one, path, value)
	}
	e.choose(s.AnyOf, false, path, value)
	e.choose(s.OneOf, true, path, value)
	if s.Not != nil && e.fits(s.Not, value) {
		e.add(path, "%s is not allowed", Describe(value))
	}
	if s.If != nil {
		next := s.Else
		if e.fits(s.If, value) {
			next = s.Then
		}
		if next != nil {
			e.look(next, path, value)
		}
	}
}

// choose adds the fault of a value that has to fit one of several forms. If only one form
// has its type, the faults by that form tell more. The value is looked at once by each form:
// twice would take forever where a schema refers to itself.
func (e *explainer) choose(forms []*jsonschema.Schema, once bool, path string, value any) {
	if len(forms) == 0 {
		return
	}
	fit, near := 0, 0
	var told []FaultError // by the last form that is near
	for _, form := range forms {
		faults := e.faultsOf(form, path, value)
		if len(faults) == 0 {
			fit++
		}
		if types := Types(e.root, form); len(types) == 0 || allows(types, value) {
			near++
			told = faults
		}
	}
	switch {
	case fit == 0 && near == 1:
		e.faults = append(e.faults, told...)
	case fit == 0:
		e.add(path, "fits none of its %d forms", len(forms))
	case fit > 1 && once:
		e.add(path, "fits more than one of its %d forms", len(forms))
	}
}

func (e *explainer) number(s *jsonschema.Schema, path string, v float64) {
	wants := func(bound *float64, words string, wrong func(bound float64) bool) {
		if bound != nil && wrong(*bound) {
			e.add(path, "want %s %s, got %s", words, text(*bound), Describe(v))
		}
	}
	wants(s.MultipleOf, "a multiple of", func(b float64) bool { _, rest := math.Modf(v / b); return rest != 0 })
	wants(s.Minimum, "at least", func(b float64) bool { return v < b })
	wants(s.Maximum, "at most", func(b float64) bool { return v > b })
	wants(s.ExclusiveMinimum, "more than", func(b float64) bool { return v <= b })
	wants(s.ExclusiveMaximum, "less than", func(b float64) bool { return v >= b })
}

func (e *explainer) text(s *jsonschema.Schema, path, v string) {
	e.count(path, "character", utf8.RuneCountInString(v), s.MinLength, s.MaxLength)
	if s.Pattern != "" && !e.matches(s.Pattern, v) {
		e.add(path, "want text that matches %s, got %s", cut(s.Pattern, maxWanted), Describe(v))
	}
}

// count adds a fault if there are too few or too many of something.
func (e *explainer) count(path, noun string, n int, least, most *int) {
	words, bound := "at least", least
	if most != nil && n > *most {
		words, bound = "at most", most
	} else if least == nil || n >= *least {
		return
	}
	if *bound != 1 {
		noun += "s"
	}
	e.add(path, "want %s %d %s, got %d", words, *bound, noun, n)
}

func (e *explainer) array(s *jsonschema.Schema, path string, items []any) {
	e.count(path, "item", len(items), s.MinItems, s.MaxItems)
	first, rest := s.PrefixItems, s.Items
	if s.ItemsArray != nil { // draft-07
		first, rest = s.ItemsArray, s.AdditionalItems
	}
	matching, seen := 0, make(map[string]int)
	for i, item := range items {
		at := path + "[" + strconv.Itoa(i) + "]"
		if i < len(first) {
			e.look(first[i], at, item)
		} else if rest != nil {
			e.look(rest, at, item)
		}
		if s.Contains != nil && e.fits(s.Contains, item) {
			matching++
		}
		if s.UniqueItems {
			if before, again := seen[text(item)]; again {
				e.add(at, "is the same as item %d", before)
				return
			}
			seen[text(item)] = i
		}
	}
	least := 1
	if s.MinContains != nil {
		least = *s.MinContains
	}
	if s.Contains != nil && (matching < least || s.MaxContains != nil && matching > *s.MaxContains) {
		e.add(path, "does not have the items that its schema wants")
	}
}

func (e *explainer) object(s *jsonschema.Schema, path string, object map[string]any) {
	e.count(path, "field", len(object), s.MinProperties, s.MaxProperties)
	for _, name := range s.Required {
		if _, there := object[name]; !there {
			e.add(join(path, name), "is missing")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		e.field(s, join(path, name), name, object[name])
		for _, needed := range s.DependentRequired[name] {
			if _, there := object[needed]; !there {
				e.add(join(path, needed), "is missing, which %s needs", name)
			}
		}
		if len(e.faults) >= maxFaults {
			return
		}
	}
}

// field adds the faults of one field of an object.
func (e *explainer) field(s *jsonschema.Schema, path, name string, value any) {
	own, declared := s.Properties[name]
	if declared {
		e.look(own, path, value)
	}
	for _, pattern := range slices.Sorted(maps.Keys(s.PatternProperties)) {
		if e.matches(pattern, name) {
			declared = true
			e.look(s.PatternProperties[pattern], path, value)
		}
	}
	if more := s.AdditionalProperties; more != nil && !declared {
		if Nothing(more) {
			e.add(path, "is not a field of this action")
		} else {
			e.look(more, path, value)
		}
	}
	if s.PropertyNames != nil {
		for _, f := range e.faultsOf(s.PropertyNames, path, name) {
			e.add(path, "the name: %s", f.Problem)
		}
	}
}

func join(path, name string) string { return path + "." + cut(name, maxValue) }

// matches reports whether text matches a pattern.
func (e *explainer) matches(pattern, text string) bool {
	compiled, known := e.patterns[pattern]
	if !known {
		compiled, _ = regexp.Compile(pattern) // the library has compiled it before
		e.patterns[pattern] = compiled
	}
	return compiled == nil || compiled.MatchString(text)
}

// text returns a value as JSON, equal for equal values.
func text(value any) string {
	t, _ := jsonv2.Marshal(value, jsonv2.Deterministic(true)) // of decoded JSON: never an error
	return string(t)
}

// cut shortens text to so many characters.
func cut(text string, limit int) string {
	if utf8.RuneCountInString(text) <= limit {
		return text
	}
	return string([]rune(text)[:limit]) + "…"
}

// allows reports whether a value has one of the types.
func allows(types []string, value any) bool {
	f, isNumber := value.(float64)
	return slices.Contains(types, jsonType(value)) || isNumber && f == math.Trunc(f) && slices.Contains(types, "integer")
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
