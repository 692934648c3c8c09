package route

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/api/exchange"
)

func TestNamesAreGivenOnce(t *testing.T) {
	t.Parallel()
	for body, name := range map[string]string{
		`{"a":1,"a":2}`:                       "a",
		`{"a":1,"b":{"c":[{"d":1,"d":1}]}}`:   "d",
		`{"a":{"x":1},"a":{"y":1}}`:           "a",
		`{"a":1,"\u0061":2}`:                  "a",
		`[{"a":1},{"b":1,"b":null}]`:          "b",
		`{"":1,"":2}`:                         "",
		`{"a:b":":","c\"d":"\":","c\"d":"x"}`: `c"d`,
		`{"b":"b","c":"b","b":"c"}`:           "b",
	} {
		_, wrong := readJSON(body)
		require.NotNil(t, wrong, body)
		assert.Equal(t, exchange.Problem{Field: name, Problem: "is given twice"}, *wrong, body)
	}
	for _, body := range []string{
		`{}`, `[]`, `1`, `":"`, `{"a":":"}`, `{"a":"b","b":"a"}`, `{"a":{"a":{"a":[]}}}`, `[{"a":1},{"a":1}]`,
		`{"a\\":":","\"a":1}`, ` { "a" : [ 1 , { "a" : "\\\":{" } ] } `,
	} {
		_, wrong := readJSON(body)
		assert.Nil(t, wrong, body)
	}
}

func TestBodiesAreNotDeep(t *testing.T) {
	t.Parallel()
	deep := func(n int) string { return strings.Repeat(`{"a":[`, n/2) + strings.Repeat(`]}`, n/2) }
	_, wrong := readJSON(deep(maxDepth))
	assert.Nil(t, wrong)
	for _, body := range []string{deep(maxDepth + 2), strings.Repeat("[", 1_000_000), deep(10_000)} {
		_, wrong = readJSON(body)
		require.NotNil(t, wrong)
		assert.Contains(t, wrong.Problem, "nested deeper than 256")
	}
}

func TestProblemsOfBodies(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"a":[1e999]}`: "out of range: number 1e999",
		`{"a":1} x`:     "malformed JSON: invalid character 'x' after top-level value after offset 8",
		`{"a":1`:        "malformed JSON: unexpected EOF after offset 6",
		``:              "malformed JSON: unexpected EOF",
	} {
		_, wrong := readJSON(body)
		require.NotNil(t, wrong, body)
		assert.Equal(t, exchange.Problem{Field: "body", Problem: want}, *wrong)
	}
	value, wrong := readJSON(`"\ud800"`)
	assert.Nil(t, wrong)
	assert.Equal(t, "\ufffd", value)
}

// An accepted body nests no deeper than the bound and reads the same after it is encoded
// again.
func FuzzReadJSON(f *testing.F) {
	for _, seed := range []string{`{"a":1,"a":2}`, `{"a":{"b":[1,{"c":"\":"}]}}`, `{"\u0061":1,"a":1}`, `[[[]]]`, `{"a"`, "{\"a\":\"\x00\"}", `1e999`, `"\ud800"`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		value, wrong := readJSON(body)
		if wrong != nil {
			return
		}
		require.LessOrEqual(t, outlineOf(body).depth, maxDepth)
		require.Equal(t, outlineOf(body).names, fieldsIn(value), "each name is given once")
		var want any
		require.NoError(t, json.Unmarshal([]byte(body), &want))
		require.Equal(t, want, value)
	})
}

// outline is the shape of JSON text, found without a parser: an oracle for readJSON.
type outline struct {
	names int // of fields, in all objects
	depth int
}

// outlineOf scans any text.
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
