package versions

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// A text that is not YAML has a fault at the position of the error.
func TestMalformedTextsWithTheirPlace(t *testing.T) {
	t.Parallel()
	const head = "versions:\n  v1:\n    routes:\n"
	for name, c := range map[string]struct{ text, said string }{
		"a tab":              {"versions:\n\tv1: {}\n", "2:1: found character '\t' that cannot start any token"},
		"a bracket":          {head + "      GET /x: {scopes: [a}\n      GET /y: {}\n", "4:26: ',' or ']' must be specified; in braces, quote a name that has a colon"},
		"indented too far":   {head + "      GET /x:\n        summary: x\n         timeout: 1s\n", "5:18: mapping value is not allowed in this context"},
		"not far enough":     {head + "      GET /x:\n        timeout: 1s\n     GET /y:\n        timeout: 1s\n", "6:6: value is not allowed in this context"},
		"a colon is missing": {head + "      GET /x\n        timeout: 1s\n", "4:7: unexpected key name"},
		"a quote without end": {
			head + "      GET /x:\n        summary: \"abc\n        timeout: 1s\n      GET /y:\n        timeout: 1s\n", "5:18: could not find end character of double-quoted text",
		},
		"a list without end":      {head + "      GET /x:\n        scopes: [a,\n", "5:17: sequence end token ']' not found"},
		"an anchor nobody set":    {"versions:\n  v1: *none\n  v2: {}\n", "2:7: unknown anchor \"none\""},
		"characters of two bytes": {"versions: {ü: ü, v1: @x}\n", "1:22: '@' is a reserved character"},
		"no UTF-8":                {head + "      GET /x: {summary: \"\xff\"}\n", "4:26: not UTF-8, or a control character: \"\\xff\""},
		"a second document":       {"versions: {v1: {}}\n---\nv2: [}\n", "3:5: sequence end token ']' not found"},
		"what holds itself":       {head + "      GET /x: &x {steps: [{call: things GET}], path: {x: *x}}\n", "4:58: the value of anchor \"x\" contains itself"},
		"a colon in braces":       {"versions: {v1: {routes: {GET /x/:id: {}}}}\n", "1:38: ',' or '}' must be specified; in braces, quote a name that has a colon"},
		"a colon without a space": {"versions: {v1: {routes: {}}, a:b: 1}\n", "1:30: want a space behind the colon, or quotes around a name that has one"},
		"control characters":      {"versions:\n  v1: a\x01\n", "2:8: not UTF-8, or a control character: \"\\x01\""},
		"a list for a key":        {"versions:\n  ? [a]\n  : {}\n", "3:3: found an invalid key for this map"},
		"nothing":                 {"# to be written\n", "1:1: the file is empty; it begins with versions:"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file, faults := Parse([]byte(c.text), nil)
			assert.Nil(t, file)
			assert.Contains(t, "\n"+faults.String()+"\n", "\n"+c.said+"\n")
		})
	}
}

// A byte order mark is ignored. A document may have start and end markers, and a directive.
func TestTextsAroundTheDocument(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"\ufeffversions: {v1: {}}\n", "%YAML 1.2\n---\nversions: {v1: {}}\n", "---\nversions: {v1: {}}\n...\n", "versions:\r\n  v1:\r\n", "versions: {v1: }"} {
		file, faults := Parse([]byte(text), nil)
		assert.Empty(t, faults, text)
		assert.NotNil(t, file.Find("v1"), text)
	}
}

// Schemas keep their numbers and merge entries. The number of values that aliases produce is
// limited.
func TestSchemasOfAliases(t *testing.T) {
	t.Parallel()
	parse := func(body string) (*File, Faults) {
		return Parse([]byte("versions:\n  v1:\n    routes:\n      POST /x:\n        steps: [{call: things GET}]\n        body:\n"+body), nil)
	}
	file, faults := parse(`          properties:
            a: &a {type: number, maximum: 1e30, minimum: -2.50}
            b: {<<: *a, minimum: 1}
            c: {<<: [{minimum: 0x10}, *a], maximum: 7}
          title: !!str 2
          type: object
`)
	assert.Empty(t, faults)
	assert.JSONEq(t, `{"type":"object","properties":{"a":{"type":"number","maximum":1e30,"minimum":-2.5},"b":{"type":"number","maximum":1e30,"minimum":1},
		"c":{"type":"number","maximum":7,"minimum":16}},"title":"2"}`, string(file.Versions[0].Plans[0].Args.Object.Schema))

	_, faults = parse("          type: object\n          title: a\n          title: b\n")
	assert.Equal(t, "9:11: title is given twice", faults.String())
	_, faults = parse("          type: object\n          <<: 7\n")
	assert.Contains(t, faults.String(), "8:11: <<: want a mapping, or a list of them")

	var bomb strings.Builder
	bomb.WriteString("          type: object\n          enum:\n            - &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n")
	for i := range 9 {
		fmt.Fprintf(&bomb, "            - &a%d [%s*a%d]\n", i+1, strings.Repeat(fmt.Sprintf("*a%d, ", i), 9), i)
	}
	_, faults = parse(bomb.String())
	assert.Contains(t, faults.String(), "the aliases stand for more than 1048576 values")
}
