package types

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// kind is a kind of shapes.
type kind int

const (
	anything kind = iota
	null
	boolean
	integer
	number
	text
	literals // one of values
	list     // of item
	mapping  // from strings to item
	object   // with fields
	union    // one of members
	back     // to item, an object that contains this shape
)

// shape is the type of a JSON value.
type shape struct {
	kind    kind
	name    string // of an object or of literals in the code; empty: it has none
	path    []string
	doc     string
	sent    bool  // it is a part of an argument
	values  []any // strings, json.Number and booleans
	item    *shape
	fields  []field
	open    bool // an object may have more members
	members []*shape
}

// field is a member of an object.
type field struct {
	name     string
	shape    *shape
	required bool
	doc      string
}

// acceptsEmpty reports whether the empty object fits.
func (s *shape) acceptsEmpty() bool {
	return s.kind == mapping || s.kind == object && !slices.ContainsFunc(s.fields, func(f field) bool { return f.required })
}

// nullable returns the shape without null, and reports whether null fits.
func (s *shape) nullable() (*shape, bool) {
	if s.kind != union || !slices.ContainsFunc(s.members, isNull) {
		return s, false
	}
	others := slices.DeleteFunc(slices.Clone(s.members), isNull)
	if len(others) == 1 {
		return others[0], true
	}
	return &shape{kind: union, members: others}, true
}

func isNull(s *shape) bool { return s.kind == null }

// schema is the part of a JSON schema that has a meaning for types.
type schema struct {
	Ref         string                     `json:"$ref"`
	Type        json.RawMessage            `json:"type"`
	Properties  map[string]json.RawMessage `json:"properties"`
	Required    []string                   `json:"required"`
	Items       json.RawMessage            `json:"items"`
	Additional  json.RawMessage            `json:"additionalProperties"`
	Enum        []json.RawMessage          `json:"enum"`
	Const       json.RawMessage            `json:"const"`
	OneOf       []json.RawMessage          `json:"oneOf"`
	AnyOf       []json.RawMessage          `json:"anyOf"`
	Defs        map[string]json.RawMessage `json:"$defs"`
	Definitions map[string]json.RawMessage `json:"definitions"`
	Description string                     `json:"description"`
	Format      string                     `json:"format"`
	Patterns    json.RawMessage            `json:"patternProperties"`
	Prefix      json.RawMessage            `json:"prefixItems"`
}

const (
	maxDepth   = 40    // of nested schemas; what is deeper is any value
	maxSchemas = 5_000 // read for one schema; further ones are any value
)

// reader reads one schema.
type reader struct {
	root   schema
	shared map[string]*shape // the named shapes of references
	open   map[string]bool   // references that are being read
	named  []*shape          // objects and literals, outer ones first
	read   int
}

// readSchema reads a JSON schema. It also returns the shapes that get a name.
func readSchema(text json.RawMessage) (*shape, []*shape) {
	r := &reader{shared: make(map[string]*shape), open: map[string]bool{"#": true}}
	if json.Unmarshal(text, &r.root) != nil {
		return &shape{}, nil
	}
	return r.shape(text, place{ref: "#"}), r.named
}

// place is where a schema stands.
type place struct {
	path  []string // the names that lead to it, for its own name
	ref   string   // the reference to it; empty: there is none
	depth int
}

func (p place) below(name string) place {
	return place{path: append(slices.Clip(p.path), name), depth: p.depth + 1}
}

// alternative is the place of one alternative of a union.
func (p place) alternative() place { return place{path: p.path, depth: p.depth + 1} }

func (r *reader) shape(text json.RawMessage, at place) *shape {
	var in schema
	if r.read++; r.read > maxSchemas || at.depth > maxDepth || json.Unmarshal(text, &in) != nil {
		return &shape{}
	}
	switch {
	case in.Ref != "":
		return r.follow(in.Ref, at)
	case len(in.Const) > 0:
		return r.literals([]json.RawMessage{in.Const}, &in, at)
	case len(in.Enum) > 0:
		return r.literals(in.Enum, &in, at)
	case in.Type == nil && in.Properties == nil && len(in.OneOf)+len(in.AnyOf) > 0:
		var members []*shape
		for _, one := range slices.Concat(in.OneOf, in.AnyOf) {
			members = append(members, r.shape(one, at.alternative()))
		}
		return join(members, in.doc())
	}
	names := in.types()
	if len(names) == 0 && in.Properties != nil {
		names = []string{"object"}
	}
	switch len(names) {
	case 0:
		return &shape{doc: in.doc()}
	case 1:
		return r.typed(names[0], &in, at)
	}
	var members []*shape
	for _, name := range names {
		members = append(members, r.typed(name, &in, at.alternative()))
	}
	return join(members, in.doc())
}

// typed returns the shape of a schema for one of its types.
func (r *reader) typed(name string, in *schema, at place) *shape {
	s := &shape{doc: in.doc()}
	switch name {
	case "null":
		s.kind = null
	case "boolean":
		s.kind = boolean
	case "integer":
		s.kind = integer
	case "number":
		s.kind = number
	case "string":
		s.kind = text
	case "array":
		s.kind, s.item = list, &shape{}
		if in.Items != nil && in.Prefix == nil {
			s.item = r.shape(in.Items, at.below("item"))
		}
	case "object":
		r.object(s, in, at)
	}
	return s
}

func (r *reader) object(s *shape, in *schema, at place) {
	closed := string(in.Additional) == "false" && in.Patterns == nil
	if len(in.Properties)+len(in.Required) == 0 && !closed {
		s.kind, s.item = mapping, &shape{}
		if in.Additional != nil && in.Patterns == nil {
			s.item = r.shape(in.Additional, at.below("value"))
		}
		return
	}
	s.kind, s.open = object, in.Additional != nil && !closed || in.Patterns != nil
	if len(in.Properties)+len(in.Required) > 0 {
		r.name(s, at)
	}
	names := slices.AppendSeq(slices.Clone(in.Required), maps.Keys(in.Properties))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		value := r.shape(in.Properties[name], at.below(name))
		f := field{name: name, shape: value, required: slices.Contains(in.Required, name)}
		if value.kind != object { // an object has its comment at its type
			f.doc = cmp.Or(docOf(in.Properties[name]), value.doc)
		}
		s.fields = append(s.fields, f)
	}
}

// name makes a shape one that gets a name.
func (r *reader) name(s *shape, at place) {
	s.path = at.path
	r.named = append(r.named, s)
	if at.ref != "" {
		r.shared[at.ref] = s
	}
}

// literals returns the shape of a list of values. With lists, objects, fractions and large
// numbers among them, it is any value.
func (r *reader) literals(values []json.RawMessage, in *schema, at place) *shape {
	s, nullFits := &shape{kind: literals, doc: in.doc()}, false
	for _, value := range values {
		decoder := json.NewDecoder(bytes.NewReader(value))
		decoder.UseNumber()
		var v any
		_ = decoder.Decode(&v) // it is JSON, or the schema had not been decoded
		switch v := v.(type) {
		case nil:
			nullFits = true
		case []any, map[string]any:
			return &shape{doc: s.doc}
		case json.Number:
			if !plainInteger.MatchString(v.String()) {
				return &shape{doc: s.doc}
			}
			s.values = append(s.values, v)
		default:
			s.values = append(s.values, v)
		}
	}
	if len(s.values) == 0 {
		return &shape{kind: null, doc: s.doc}
	}
	if s.isStrings() {
		r.name(s, at)
	}
	if !nullFits {
		return s
	}
	return join([]*shape{s, {kind: null}}, s.doc)
}

// plainInteger matches numbers that all languages write alike.
var plainInteger = regexp.MustCompile(`^(0|-?[1-9][0-9]{0,14})$`)

// isStrings reports whether the shape is one of some strings.
func (s *shape) isStrings() bool {
	return s.kind == literals && !slices.ContainsFunc(s.values, func(v any) bool {
		_, is := v.(string)
		return !is
	})
}

// join returns the union of shapes. A union of unions is one union; with any value, it is
// any value.
func join(members []*shape, doc string) *shape {
	s := &shape{kind: union, doc: doc}
	for _, m := range members {
		switch m.kind {
		case anything:
			return &shape{doc: doc}
		case union:
			s.members = append(s.members, m.members...)
		default:
			s.members = append(s.members, m)
		}
	}
	if len(s.members) == 1 {
		return s.members[0]
	}
	slices.SortStableFunc(s.members, func(a, b *shape) int { return cmp.Compare(nullsLast(a), nullsLast(b)) })
	return s
}

func nullsLast(s *shape) int {
	if isNull(s) {
		return 1
	}
	return 0
}

// follow returns the shape of a reference. One that leads back into an object which is being
// read is a back shape; any other circle is any value.
func (r *reader) follow(ref string, at place) *shape {
	if s := r.shared[ref]; s != nil {
		if r.open[ref] && s.kind == object {
			return &shape{kind: back, item: s}
		}
		return s
	}
	text, name, ok := r.target(ref)
	if !ok || r.open[ref] {
		return &shape{}
	}
	to := place{ref: ref, depth: at.depth + 1}
	if at.depth > 0 { // else it is the whole schema
		to.path = []string{name}
	}
	r.open[ref] = true
	defer delete(r.open, ref)
	return r.shape(text, to)
}

// target returns the definition of a reference, and its name.
func (r *reader) target(ref string) (json.RawMessage, string, bool) {
	for prefix, definitions := range map[string]map[string]json.RawMessage{"#/$defs/": r.root.Defs, "#/definitions/": r.root.Definitions} {
		if name, ok := strings.CutPrefix(ref, prefix); ok {
			text, found := definitions[name]
			return text, name, found
		}
	}
	return nil, "", false
}

// docOf returns what a schema says for comments.
func docOf(text json.RawMessage) string {
	var in schema
	_ = json.Unmarshal(text, &in)
	return in.doc()
}

// types returns the names in the keyword type.
func (s *schema) types() []string {
	var names []string
	if json.Unmarshal(s.Type, &names) == nil {
		return names
	}
	var name string
	if json.Unmarshal(s.Type, &name) == nil {
		return []string{name}
	}
	return nil
}

// doc returns what comments say about a value.
func (s *schema) doc() string {
	switch {
	case s.Format == "":
		return s.Description
	case s.Description == "":
		return "Format: " + s.Format + "."
	default:
		return s.Description + " (" + s.Format + ")"
	}
}
