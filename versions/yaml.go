package versions

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/oskadev/mailroom/internal/schema"
)

// reader reads nodes, and collects all that is wrong with them.
type reader struct{ faults Faults }

func (r *reader) fault(at *yaml.Node, format string, args ...any) {
	f := Fault{Line: 1, Column: 1, Problem: fmt.Sprintf(format, args...)}
	if at != nil {
		f.Line, f.Column = at.Line, at.Column
	}
	r.faults = append(r.faults, f)
}

// document reads the one document that a file is; nil: there is none that can be read.
func (r *reader) document(text []byte) *yaml.Node {
	var document, more yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	err := decoder.Decode(&document)
	if errors.Is(err, io.EOF) || err == nil && len(document.Content) == 0 {
		r.faults = append(r.faults, Fault{Line: 1, Column: 1, Problem: "the file is empty; it begins with versions:"})
		return nil
	}
	if err != nil {
		r.faults = append(r.faults, malformed(text, err))
		return nil
	}
	switch err = decoder.Decode(&more); {
	case err == nil:
		r.fault(&more, "a second document; a versions file is one")
	case !errors.Is(err, io.EOF):
		r.faults = append(r.faults, malformed(text, err))
	}
	plainText(&document, 0)
	return document.Content[0]
}

// malformed is the fault of a text that is no YAML. The library tells no column, and the
// line, if any, is that of something around it, or one too early. So: how far it had read,
// or the line before, as long as what ends there has the same fault.
func malformed(text []byte, err error) Fault {
	f := Fault{Problem: problemOf(err)}
	f.Line, f.Column = reached(text)
	for range 100 { // nobody looks further back
		before := firstLines(text, f.Line-1)
		if len(before) == 0 || problemOf(decodeAll(bytes.NewReader(before))) != f.Problem {
			break
		}
		f.Line, f.Column = f.Line-1, 1
	}
	return f
}

// problemOf is what the library says, without the place.
func problemOf(err error) string {
	problem := strings.TrimPrefix(err.Error(), "yaml: ")
	if place, rest, there := strings.Cut(problem, ": "); there && strings.HasPrefix(place, "line ") {
		return rest
	}
	return problem
}

// decodeAll reads all documents; the error that ends them may be io.EOF.
func decodeAll(from io.Reader) error {
	decoder := yaml.NewDecoder(from)
	for {
		if err := decoder.Decode(&yaml.Node{}); err != nil {
			return err
		}
	}
}

// reached is where the library was when it found a fault.
func reached(text []byte) (line, column int) {
	const ahead = 4 // characters that it looks at beyond
	read := &gradual{text: append(bytes.Clone(text), strings.Repeat("\n", ahead)...)}
	_ = decodeAll(read)
	before := []rune(string(read.text[:read.given]))
	before = before[:max(0, len(before)-ahead)]
	line, column = 1, 1
	for _, char := range before {
		if column++; char == '\n' {
			line, column = line+1, 1
		}
	}
	return line, column
}

// firstLines are so many lines of a text.
func firstLines(text []byte, lines int) []byte {
	end := 0
	for range lines {
		next := bytes.IndexByte(text[end:], '\n')
		if next < 0 {
			return text
		}
		end += next + 1
	}
	return text[:end]
}

// gradual gives a text byte by byte, and tells how far its reader came.
type gradual struct {
	text  []byte
	given int
}

func (g *gradual) Read(to []byte) (int, error) {
	if g.given == len(g.text) {
		return 0, io.EOF
	}
	to[0] = g.text[g.given]
	g.given++
	return 1, nil
}

const (
	textTag  = "!!str"
	mergeTag = "!!merge"
)

// plainText makes texts of what JSON has no type for: dates, and names that look like
// anything else.
func plainText(node *yaml.Node, depth int) {
	if depth > 1000 { // nothing that is meant is so deep
		return
	}
	if node.Kind == yaml.ScalarNode && node.Tag == "!!timestamp" {
		node.Tag = textTag
	}
	for i, child := range node.Content { // not into aliases: what they stand for is elsewhere
		if node.Kind == yaml.MappingNode && i%2 == 0 && child.Kind == yaml.ScalarNode && child.Tag != mergeTag {
			child.Tag = textTag
		}
		plainText(child, depth+1)
	}
}

type pair struct{ key, value *yaml.Node }

// follow gives what an alias stands for.
func follow(node *yaml.Node) *yaml.Node {
	for i := 0; i < 16 && node != nil && node.Kind == yaml.AliasNode; i++ {
		node = node.Alias
	}
	return node
}

func isNull(node *yaml.Node) bool { return node.Kind == yaml.ScalarNode && node.Tag == "!!null" }

// pairs lists the entries of a mapping.
func (r *reader) pairs(node *yaml.Node, what string) []pair {
	if node = follow(node); node.Kind != yaml.MappingNode {
		r.fault(node, "%s: want names with values", what)
		return nil
	}
	var all []pair
	seen := make(map[string]bool)
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := node.Content[i]
		if key.Tag == mergeTag {
			r.fault(key, "<<: is for schemas only")
			continue
		}
		if seen[key.Value] {
			r.fault(key, "%s is given twice", key.Value)
			continue
		}
		seen[key.Value] = true
		all = append(all, pair{key, follow(node.Content[i+1])})
	}
	return all
}

// fields are the entries of a mapping with these names and no others.
func (r *reader) fields(node *yaml.Node, what string, names ...string) map[string]*yaml.Node {
	fields := make(map[string]*yaml.Node)
	for _, p := range r.pairs(node, what) {
		if !slices.Contains(names, p.key.Value) {
			r.fault(p.key, "%s has no %q; it may have %s", what, p.key.Value, strings.Join(names, ", "))
			continue
		}
		fields[p.key.Value] = p.value
	}
	return fields
}

// child is one entry of a mapping; nil: there is none.
func child(node *yaml.Node, name string) *yaml.Node {
	node = follow(node)
	for i := 0; node.Kind == yaml.MappingNode && i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == name {
			return follow(node.Content[i+1])
		}
	}
	return nil
}

// items lists a sequence; nil is an empty one.
func (r *reader) items(node *yaml.Node, what string) []*yaml.Node {
	if node == nil {
		return nil
	}
	if node = follow(node); node.Kind != yaml.SequenceNode {
		r.fault(node, "%s: want a list", what)
		return nil
	}
	list := make([]*yaml.Node, len(node.Content))
	for i, item := range node.Content {
		list[i] = follow(item)
	}
	return list
}

func (r *reader) text(node *yaml.Node) string {
	if node == nil {
		return ""
	}
	if node.Kind != yaml.ScalarNode {
		r.fault(node, "want a text")
		return ""
	}
	return node.Value
}

// schema reads a JSON schema that is written as YAML.
func (r *reader) schema(node *yaml.Node) map[string]any {
	var read map[string]any
	if err := node.Decode(&read); err != nil || read == nil {
		r.fault(node, "want a JSON schema")
		return map[string]any{}
	}
	text, err := json.Marshal(read)
	if err == nil {
		_, err = schema.Read(text)
	}
	if err != nil {
		r.fault(node, "not a JSON schema: %v", err)
	}
	return read
}
