package openapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/oskadev/mailroom/internal/schema"
)

const (
	maxSchema   = 64 << 10  // bytes of one schema in a manifest
	maxSchemas  = 512 << 10 // bytes of all schemas of one service in a document
	maxDocument = 16 << 20  // bytes of all schemas in a document
	maxDepth    = 128       // of nested objects and lists in a schema
	maxRefs     = 8         // references that follow each other
)

// schemas are the schemas of the services in a document.
type schemas struct {
	components components
	names      names
	total      int            // bytes
	bytes      map[string]int // by service
	input      map[string]int // bytes in the manifest, by service
	sources    map[sourceKey]*source
}

// sourceKey tells schemas apart. The routes of one action share theirs.
type sourceKey struct{ service, name, text string }

// source is one schema of a manifest.
type source struct {
	schemas *schemas
	service string
	name    string            // of the component for the whole schema
	root    any               // the schema as JSON
	refs    map[string]string // the components that references lead to
}

// note returns a schema that any value fits and that tells why there is no other.
func note(format string, args ...any) map[string]any {
	return map[string]any{"description": "The schema is left out: " + cut(fmt.Sprintf(format, args...), 200) + "."}
}

// read reads a schema of a service. name is the name of the component that it may become.
func (s *schemas) read(service string, text json.RawMessage, name string) *source {
	key := sourceKey{service, name, string(text)}
	if known := s.sources[key]; known != nil {
		return known
	}
	from := &source{schemas: s, service: service, name: name, refs: make(map[string]string), root: map[string]any{}}
	s.sources[key] = from
	if len(text) > maxSchema {
		from.root = note("it has %d bytes, more than %d", len(text), maxSchema)
		return from
	}
	if depth(text) > maxDepth {
		from.root = note("it is nested more than %d deep", maxDepth)
		return from
	}
	if s.input[service] += len(text); s.input[service] > maxSchemas {
		from.root = note("those of the service have more than %d bytes", maxSchemas)
		return from
	}
	if _, err := schema.Read(text); err != nil {
		// The error may differ from one call to the next; the document must not.
		from.root = note("it is not valid, or has references other than to its own definitions")
		return from
	}
	if len(text) > 0 {
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.UseNumber()
		_ = decoder.Decode(&from.root) // schema.Read has checked its syntax
	}
	return from
}

// component makes the whole schema a component and returns a reference to it.
func (s *source) component() map[string]any { return s.follow("#", s.root, s.name) }

// inline returns the schema of a part of the whole, for a place where it is the only one.
func (s *source) inline(part any) map[string]any {
	return s.bounded(s.schema(part))
}

// follow returns a reference to the component of a schema, which it makes if it is new.
func (s *source) follow(ref string, target any, name string) map[string]any {
	known, found := s.refs[ref]
	if !found {
		known = s.schemas.names.take(name)
		s.refs[ref] = known // before its content, which may refer to it
		s.schemas.components.set("schemas", known, s.bounded(s.schema(target)))
	}
	return refer("schemas", known)
}

// bounded returns a schema, or a note in its place if the service or the document has too
// many.
func (s *source) bounded(value map[string]any) map[string]any {
	text, err := json.Marshal(value)
	if err != nil {
		return note("%v", err)
	}
	switch size := len(text); {
	case s.schemas.bytes[s.service]+size > maxSchemas:
		return note("those of the service have more than %d bytes", maxSchemas)
	case s.schemas.total+size > maxDocument:
		return note("those of all services have more than %d bytes", maxDocument)
	default:
		s.schemas.bytes[s.service] += size
		s.schemas.total += size
		return value
	}
}

// schema returns a schema as it is in a document.
func (s *source) schema(value any) map[string]any {
	if value == false {
		return map[string]any{"not": map[string]any{}}
	}
	from, _ := value.(map[string]any)
	made := make(map[string]any, len(from))
	for _, name := range slices.Sorted(maps.Keys(from)) { // the order gives components their names
		if name == "$ref" {
			maps.Copy(made, s.reference(from[name]))
			continue
		}
		if value, kept := s.keyword(name, from[name]); kept {
			made[name] = value
		}
	}
	s.convert(made, from)
	return made
}

// convert adds the keywords of other drafts by those that OpenAPI has in their place.
func (s *source) convert(made, from map[string]any) {
	if list, ok := from["items"].([]any); ok && len(list) > 0 && made["prefixItems"] == nil {
		made["prefixItems"] = s.list(list)
	}
	if example, ok := from["example"]; ok && !refers(example) && made["examples"] == nil {
		made["examples"] = []any{example}
	}
}

// reference returns what replaces a reference of a manifest.
func (s *source) reference(value any) map[string]any {
	ref, _ := value.(string)
	target, name := s.target(ref)
	if target == nil {
		return map[string]any{}
	}
	return s.follow(ref, target, name)
}

// target returns the schema that a reference leads to, and the name of its component.
func (s *source) target(ref string) (any, string) {
	if ref == "#" {
		return s.root, s.name
	}
	root, _ := s.root.(map[string]any)
	for _, key := range []string{"$defs", "definitions"} {
		if name, ok := strings.CutPrefix(ref, "#/"+key+"/"); ok {
			definitions, _ := root[key].(map[string]any)
			return definitions[name], s.name + pascal(name)
		}
	}
	return nil, ""
}

// object returns the schema itself, behind its references.
func (s *source) object() map[string]any {
	value := s.root
	for range maxRefs {
		object, _ := value.(map[string]any)
		ref, refers := object["$ref"].(string)
		if !refers {
			return object
		}
		value, _ = s.target(ref)
	}
	return nil
}

// needed reports whether a value has to be given: an empty object does not fit.
func (s *source) needed() bool {
	own := s.object()
	names, given := typeNames(own["type"])
	if required, _ := own["required"].([]any); len(required) > 0 {
		return true
	}
	switch names := names.(type) {
	case string:
		return given && names != "object"
	case []string:
		return given && !slices.Contains(names, "object")
	}
	return false
}

// depth returns how deep objects and lists are nested in a JSON text. A deep schema takes the
// library of schemas a time that grows faster than its length.
func depth(text []byte) int {
	deepest, now, inString := 0, 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && inString:
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			now++
			deepest = max(deepest, now)
		case c == '}' || c == ']':
			now--
		}
	}
	return deepest
}

// cut returns a text of at most a number of bytes.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
