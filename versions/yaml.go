package versions

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/oskadev/mailroom/internal/schema"
)

// maxValues bounds the values of a file once each alias is replaced by what it refers to.
const maxValues = 1 << 20

// node is one value of a file and the place where it begins. Aliases of the same anchor
// share one node.
type node struct {
	kind  kind
	text  string // of a scalar, as it is written
	value any    // of a scalar
	items []*node
	pairs []pair
	at    position
}

type kind int

const (
	scalar kind = iota
	list
	mapping
)

// pair is one entry of a mapping.
type pair struct {
	key   *node
	value *node
	merge bool // the key is <<
}

func (n *node) isNull() bool { return n.kind == scalar && n.value == nil }

// child returns the value of one key of a mapping; nil if it has none.
func (n *node) child(name string) *node {
	if i := slices.IndexFunc(n.pairs, func(p pair) bool { return p.key.text == name }); i >= 0 {
		return n.pairs[i].value
	}
	return nil
}

// yamlReader reads the nodes of the library.
type yamlReader struct {
	faults  *Faults
	anchors map[string]*node // nil: the value of the anchor is not complete yet
}

// readYAML reads the one document of a file; nil if none can be read.
func readYAML(text []byte, faults *Faults) *node {
	r := &yamlReader{faults: faults, anchors: make(map[string]*node)}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	if !r.readable(text) {
		return nil
	}
	file, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
	if said, ok := errors.AsType[yaml.Error](err); ok {
		at, hint := said.GetToken().Position, ""
		if strings.Contains(said.GetMessage(), "must be specified") {
			hint = "; in braces, quote a name that has a colon"
		}
		r.faults.add(position{at.Line, at.Column}, "%s%s", said.GetMessage(), hint)
		return nil
	} else if err != nil {
		r.faults.add(position{1, 1}, "%v", err)
		return nil
	}
	documents := slices.DeleteFunc(file.Docs, func(d *ast.DocumentNode) bool {
		return d.Body != nil && d.Body.Type() == ast.DirectiveType
	})
	if len(documents) == 0 || documents[0].Body == nil {
		r.faults.add(position{1, 1}, "the file is empty; it begins with versions:")
		return nil
	}
	if len(documents) > 1 {
		at := documents[1].Start.Position
		r.faults.add(position{at.Line, at.Column}, "a second document; a versions file has one")
	}
	return r.node(documents[0].Body)
}

// readable reports the first character that YAML does not allow; the library accepts all.
func (r *yamlReader) readable(text []byte) bool {
	for line, column := 1, 1; len(text) > 0; column++ {
		char, size := utf8.DecodeRune(text)
		if char == utf8.RuneError && size == 1 || unicode.IsControl(char) && !strings.ContainsRune("\t\n\r\u0085", char) {
			r.faults.add(position{line, column}, "not UTF-8, or a control character: %q", text[:size])
			return false
		}
		if char == '\n' {
			line, column = line+1, 0
		}
		text = text[size:]
	}
	return true
}

// node reads one node of the library.
func (r *yamlReader) node(from ast.Node) *node {
	at := from.GetToken()
	n := &node{at: position{at.Position.Line, at.Position.Column}}
	switch from := from.(type) {
	case *ast.MappingKeyNode:
		return r.node(from.Value)
	case *ast.AnchorNode:
		name := from.Name.GetToken().Value
		r.anchors[name] = nil
		anchored := r.node(from.Value)
		anchored.at = n.at
		r.anchors[name] = anchored
		return anchored
	case *ast.AliasNode:
		name := from.Value.GetToken().Value
		switch anchored, known := r.anchors[name]; {
		case anchored != nil:
			return anchored
		case known:
			r.faults.add(n.at, "the value of anchor %q contains itself", name)
		default:
			r.faults.add(n.at, "unknown anchor %q", name)
		}
	case *ast.TagNode:
		n = r.node(from.Value)
		if n.kind == scalar {
			if err := yaml.NodeToValue(from, &n.value); err != nil {
				r.faults.add(n.at, "not a %s", at.Value)
			}
		}
	case *ast.MappingNode:
		r.mapping(n, !from.IsFlowStyle, from.Values)
	case *ast.MappingValueNode:
		r.mapping(n, true, []*ast.MappingValueNode{from})
	case *ast.SequenceNode:
		n.kind = list
		for _, item := range from.Values {
			n.items = append(n.items, r.node(item))
		}
	case *ast.LiteralNode:
		n.text, n.value = from.Value.Value, from.Value.Value
	case ast.ScalarNode:
		n.text, n.value = at.Value, from.GetValue()
		switch {
		case at.Type == token.ImplicitNullType:
			n.text = ""
		case at.Type == token.StringType && strings.Trim(at.Value, "0123456789.eE+-") == "": // 1e30 is a text for the library
			if f, err := strconv.ParseFloat(at.Value, 64); err == nil {
				n.value = f
			}
		}
	}
	return n
}

// mapping reads the entries of a mapping, each key once.
func (r *yamlReader) mapping(n *node, block bool, entries []*ast.MappingValueNode) {
	n.kind = mapping
	seen := make(map[string]bool)
	for i, entry := range entries {
		key, value := r.node(entry.Key), r.node(entry.Value)
		p := pair{key: key, value: value, merge: entry.Key.IsMergeKey()}
		if i == 0 && block {
			n.at = key.at // a block begins with its first key
		}
		switch {
		case key.kind != scalar:
			r.faults.add(key.at, "want a name")
		case !block && glued(entry):
			r.faults.add(key.at, "want a space behind the colon, or quotes around a name that has one")
		case seen[key.text]:
			r.faults.add(key.at, "%s is given twice", key.text)
		default:
			seen[key.text] = true
			n.pairs = append(n.pairs, p)
		}
	}
}

// glued reports whether the library cut a plain text at a colon that belongs to it.
func glued(entry *ast.MappingValueNode) bool {
	key, colon, value := entry.Key.GetToken(), entry.Start, entry.Value.GetToken()
	return key.Indicator != token.QuotedScalarIndicator && value.Type == token.StringType &&
		value.Position.Line == colon.Position.Line && value.Position.Column == colon.Position.Column+1
}

// plain returns the value of a node as encoding/json has it.
func (r *reader) plain(n *node) any {
	if r.values++; r.values > maxValues {
		if r.values == maxValues+1 {
			r.fault(n, "the aliases stand for more than %d values", maxValues)
		}
		return nil
	}
	switch n.kind {
	case scalar:
		return n.value
	case list:
		values := make([]any, len(n.items))
		for i, item := range n.items {
			values[i] = r.plain(item)
		}
		return values
	case mapping:
		object := make(map[string]any, len(n.pairs))
		for _, p := range n.pairs {
			if p.merge {
				r.merge(object, p)
			}
		}
		for _, p := range n.pairs { // which win
			if !p.merge {
				object[p.key.text] = r.plain(p.value)
			}
		}
		return object
	}
	return n.value
}

// merge adds the entries of a mapping, or of several: the first one that has a name wins.
func (r *reader) merge(object map[string]any, p pair) {
	sources := p.value.items
	if p.value.kind != list {
		sources = []*node{p.value}
	}
	for _, source := range slices.Backward(sources) {
		entries, ok := r.plain(source).(map[string]any)
		if !ok {
			r.fault(p.key, "<<: want a mapping, or a list of them")
		}
		maps.Copy(object, entries)
	}
}

// pairs lists the entries of a mapping.
func (r *reader) pairs(n *node, what string) []pair {
	if n.kind != mapping {
		r.fault(n, "%s: want names with values", what)
		return nil
	}
	return slices.DeleteFunc(slices.Clone(n.pairs), func(p pair) bool {
		if p.merge {
			r.fault(p.key, "<<: is for schemas only")
		}
		return p.merge
	})
}

// fields returns the entries of a mapping by name, and reports those with other names.
func (r *reader) fields(n *node, what string, names ...string) map[string]*node {
	fields := make(map[string]*node)
	for _, p := range r.pairs(n, what) {
		if !slices.Contains(names, p.key.text) {
			r.fault(p.key, "%s has no %q; it may have %s", what, p.key.text, strings.Join(names, ", "))
			continue
		}
		fields[p.key.text] = p.value
	}
	return fields
}

// items lists the items of a list; none if n is nil.
func (r *reader) items(n *node, what string) []*node {
	if n == nil {
		return nil
	}
	if n.kind != list {
		r.fault(n, "%s: want a list", what)
	}
	return n.items
}

func (r *reader) text(n *node) string {
	if n == nil {
		return ""
	}
	if n.kind != scalar {
		r.fault(n, "want a text")
	}
	return n.text
}

// schema reads a JSON schema that is written as YAML.
func (r *reader) schema(n *node) map[string]any {
	read, ok := r.plain(n).(map[string]any)
	if !ok {
		r.fault(n, "want a JSON schema")
		return map[string]any{}
	}
	text, err := json.Marshal(read)
	if err == nil {
		_, err = schema.Read(text)
	}
	if err != nil {
		r.fault(n, "not a JSON schema: %v", err)
	}
	return read
}
