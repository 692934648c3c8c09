package schemacost

import (
	"cmp"
	"fmt"
	"regexp/syntax"
	"strings"

	"github.com/go-json-experiment/json"
)

// The limits of all schemas of one manifest, and of one schema alone.
const (
	// MaxNodes is the number of arrays and objects.
	MaxNodes = 10_000
	// MaxSteps is the number of schemas that validation visits when every reference is
	// replaced by its target once.
	MaxSteps = 50_000
	// MaxPatterns is the size of the compiled patterns, in instructions of package regexp.
	MaxPatterns = 50_000
	// MaxPaths is the length of the paths of all nodes, in bytes: the library keeps them.
	MaxPaths = 8 << 20
	// MaxAlternatives is the number of schemas below anyOf that judge one value.
	MaxAlternatives = 1_000
)

// Cost is what schemas cost. The zero value is ready to use.
type Cost struct {
	// Alternatives is the largest number of schemas below anyOf that judge one value. The
	// library keeps an error for each that does not fit, with a copy of the value.
	Alternatives int
	// Recursive reports that validation comes back to a schema with a part of the value.
	Recursive bool

	nodes, steps, patterns, paths int
}

// Add adds the cost of a schema. It returns an error if the schema is not JSON, or if the
// cost exceeds a limit.
func (c *Cost) Add(schema []byte) error {
	if len(schema) == 0 {
		return nil
	}
	if err := CheckDepth(schema); err != nil {
		return err
	}
	var root any
	// Strict: the library merges the values of a repeated name.
	if err := json.Unmarshal(schema, &root); err != nil {
		return err
	}
	if err := c.count(root, len("root"), oneSchema); err != nil {
		return err
	}
	w := walk{cost: c, root: root, entered: map[string]bool{"#": true}}
	return w.enter(root)
}

// over returns an error if a count exceeds its limit.
func over(count, limit int, what string) error {
	if count > limit {
		return fmt.Errorf("%s: more than %d", what, limit)
	}
	return nil
}

// count adds the nodes below a value that a keyword holds, their paths, and the patterns.
func (c *Cost) count(value any, path int, h holds) error {
	switch v := value.(type) {
	case []any:
		for _, item := range v {
			if err := c.count(item, path+len("/10"), h.item()); err != nil {
				return err
			}
		}
	case map[string]any:
		for name, item := range v {
			inner, err := c.member(name, item, h)
			if err == nil {
				err = c.count(item, path+1+len(name), inner)
			}
			if err != nil {
				return err
			}
		}
	default:
		return nil
	}
	c.nodes++
	c.paths += path
	return cmp.Or(
		over(c.nodes, MaxNodes, "arrays and objects in schemas"),
		over(c.paths, MaxPaths, "bytes of paths in schemas"),
		over(c.patterns, MaxPatterns, "instructions of patterns in schemas"),
	)
}

// member returns what a member of an object holds, and adds the cost of its pattern.
func (c *Cost) member(name string, value any, h holds) (holds, error) {
	switch h { //nolint:exhaustive // the others cost nothing
	case patterned:
		c.patterns += size(name)
	case oneSchema, schemas:
		if pattern, isText := value.(string); isText && name == "pattern" {
			c.patterns += size(pattern)
		}
		return keyword(name)
	}
	return h.item(), nil
}

// size returns the size of a compiled pattern; of one that is not valid it is the length.
func size(pattern string) int {
	if len(pattern) > MaxPatterns {
		return len(pattern)
	}
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return len(pattern)
	}
	return instructions(parsed)
}

func instructions(re *syntax.Regexp) int {
	n := 1 + len(re.Rune)
	for _, sub := range re.Sub {
		n = min(n+instructions(sub), MaxPatterns+1)
	}
	if re.Op == syntax.OpRepeat {
		n *= max(1, re.Min, re.Max)
	}
	return min(n, MaxPatterns+1)
}

// walk visits schemas as validation does.
type walk struct {
	cost    *Cost
	root    any
	entered map[string]bool // references whose targets are being visited

	alternatives int // of the value that is judged
}

// enter visits a schema that judges the same value as the one before.
func (w *walk) enter(schema any) error {
	s, isObject := schema.(map[string]any)
	w.cost.steps += 1 + len(s)/16 // a visit looks at all keywords
	if err := over(w.cost.steps, MaxSteps, "steps of validation in schemas"); err != nil {
		return err
	}
	if !isObject {
		return nil
	}
	if err := w.follow(s); err != nil {
		return err
	}
	for name, value := range s {
		if list, ok := value.([]any); ok && name == "anyOf" {
			w.alternatives += len(list)
		}
		var err error
		switch h, _ := kindOf(name); {
		case h == data || name == "$defs" || name == "definitions":
		case samePart(name):
			err = w.enterAll(value, h)
		default:
			err = w.step(value, h)
		}
		if err != nil {
			return err
		}
	}
	w.cost.Alternatives = max(w.cost.Alternatives, w.alternatives)
	return over(w.cost.Alternatives, MaxAlternatives, "schemas below anyOf for one value")
}

// follow visits the target of a reference, unless it is being visited: validation comes
// back to it with a part of the value only.
func (w *walk) follow(s map[string]any) error {
	ref, _ := s["$ref"].(string)
	if w.entered[ref] {
		w.cost.Recursive = true
		return nil
	}
	target := w.target(ref)
	if target == nil {
		return nil
	}
	w.entered[ref] = true
	defer delete(w.entered, ref)
	return w.enter(target)
}

func (w *walk) target(ref string) any {
	root, _ := w.root.(map[string]any)
	for _, keyword := range []string{"$defs", "definitions"} {
		if name, found := strings.CutPrefix(ref, "#/"+keyword+"/"); found {
			defs, _ := root[keyword].(map[string]any)
			return defs[name]
		}
	}
	return nil
}

// enterAll visits what a keyword holds: one schema, or several.
func (w *walk) enterAll(value any, h holds) error {
	switch v := value.(type) {
	case []any:
		for _, one := range v {
			if err := w.enter(one); err != nil {
				return err
			}
		}
		return nil
	case map[string]any:
		if h == oneSchema {
			break
		}
		for _, one := range v {
			if err := w.enter(one); err != nil {
				return err
			}
		}
		return nil
	}
	return w.enter(value)
}

// step visits schemas that judge parts of the value.
func (w *walk) step(value any, h holds) error {
	before := w.alternatives
	w.alternatives = 0
	defer func() { w.alternatives = before }()
	return w.enterAll(value, h)
}
