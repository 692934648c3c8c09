package api

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
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
		assert.Equal(t, problem{Field: name, Problem: "is given twice"}, *wrong, body)
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

// Whatever is accepted has each name once, and reads the same when it is written
// again.
func FuzzReadJSON(f *testing.F) {
	for _, seed := range []string{`{"a":1,"a":2}`, `{"a":{"b":[1,{"c":"\":"}]}}`, `{"\u0061":1,"a":1}`, `[[[]]]`, `{"a"`, "{\"a\":\"\x00\"}", `1e999`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		value, wrong := readJSON(body)
		if wrong != nil {
			return
		}
		require.LessOrEqual(t, outlineOf(body).depth, maxDepth)
		text, err := json.Marshal(value)
		require.NoError(t, err)
		require.Equal(t, outlineOf(body).names, outlineOf(string(text)).names, body)
	})
}
