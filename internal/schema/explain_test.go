package schema

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestExplainNamesThePathAndWhatIsWanted(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ä", 100)
	for _, c := range []struct{ schema, value, want string }{
		{`{"type":"integer"}`, `"x"`, `: want integer, got string "x"`},
		{`{"type":"integer"}`, `"<&>"`, `: want integer, got string "<&>"`},
		{`{"type":"integer"}`, `1.5`, `: want integer, got number 1.5`},
		{`{"type":["null","integer","string"]}`, `true`, `: want integer or string, got boolean true`},
		{`{"type":"string"}`, `null`, `: want string, got null`},
		{`{"type":"string"}`, `{"a":1}`, `: want string, got object`},
		{`{"type":"integer"}`, `"` + long + `"`, `: want integer, got string "` + strings.Repeat("ä", 39) + `…`},
		{`{"properties":{"a":{"properties":{"b":{"type":"number"}}}}}`, `{"a":{"b":[]}}`, `a.b: want number, got array`},
		{`{"items":{"properties":{"n":{"type":"number"}}}}`, `[{},{"n":"1"}]`, `[1].n: want number, got string "1"`},
		{`{"prefixItems":[{"type":"string"}],"items":{"type":"number"}}`, `["a","b"]`, `[1]: want number, got string "b"`},
		{`{"required":["b","a"]}`, `{}`, `b: is missing; a: is missing`},
		{
			`{"properties":{"a":{}},"additionalProperties":false}`, `{"c":1,"b":1,"a":1}`,
			`b: is not a field of this action; c: is not a field of this action`,
		},
		{`{"additionalProperties":{"type":"integer"}}`, `{"a":"b"}`, `a: want integer, got string "b"`},
		{`{"patternProperties":{"^n":{"type":"integer"}},"additionalProperties":false}`, `{"n1":"b"}`, `n1: want integer, got string "b"`},
		{`{"propertyNames":{"maxLength":1}}`, `{"ab":1}`, `ab: the name: want at most 1 character, got 2`},
		{`{"dependentRequired":{"a":["b"]}}`, `{"a":1}`, `b: is missing, which a needs`},
		{`{"minProperties":2}`, `{}`, `: want at least 2 fields, got 0`},
		{`{"maxProperties":1}`, `{"a":1,"b":1}`, `: want at most 1 field, got 2`},
		{`{"enum":["a",1,null]}`, `"b"`, `: want one of "a", 1, null, got string "b"`},
		{`{"enum":["` + strings.Repeat("a", 300) + `"]}`, `1`, `: want one of "` + strings.Repeat("a", 199) + `…, got number 1`},
		{`{"const":{"a":1}}`, `2`, `: want {"a":1}, got number 2`},
		{`{"multipleOf":0.5}`, `0.7`, `: want a multiple of 0.5, got number 0.7`},
		{`{"minimum":1}`, `0`, `: want at least 1, got number 0`},
		{`{"maximum":1}`, `2`, `: want at most 1, got number 2`},
		{`{"exclusiveMinimum":1}`, `1`, `: want more than 1, got number 1`},
		{`{"exclusiveMaximum":1}`, `1`, `: want less than 1, got number 1`},
		{`{"minLength":2}`, `"ä"`, `: want at least 2 characters, got 1`},
		{`{"maxLength":2}`, `"äää"`, `: want at most 2 characters, got 3`},
		{`{"pattern":"^a"}`, `"b"`, `: want text that matches ^a, got string "b"`},
		{`{"minItems":1}`, `[]`, `: want at least 1 item, got 0`},
		{`{"maxItems":1}`, `[1,2]`, `: want at most 1 item, got 2`},
		{`{"uniqueItems":true}`, `[1,{"a":1,"b":2},{"b":2,"a":1}]`, `[2]: is the same as item 1`},
		{`{"contains":{"type":"string"}}`, `[1]`, `: does not have the items that its schema wants`},
		{`{"allOf":[{"type":"integer"},{"minimum":3}]}`, `1`, `: want at least 3, got number 1`},
		{`{"anyOf":[{"type":"string"},{"type":"null"}]}`, `1`, `: want string, got number 1`},
		{`{"anyOf":[{"type":"string","maxLength":1},{"type":"null"}]}`, `"ab"`, `: want at most 1 character, got 2`},
		{`{"oneOf":[{"required":["a"]},{"required":["b"]}]}`, `{}`, `: fits none of its 2 forms`},
		{`{"oneOf":[{"required":["a"]},{"required":["b"]}]}`, `{"a":1,"b":1}`, `: fits more than one of its 2 forms`},
		{`{"not":{"type":"string"}}`, `"a"`, `: string "a" is not allowed`},
		{`{"if":{"required":["a"]},"then":{"required":["b"]},"else":{"required":["c"]}}`, `{"a":1}`, `b: is missing`},
		{`{"if":{"required":["a"]},"then":{"required":["b"]},"else":{"required":["c"]}}`, `{}`, `c: is missing`},
		{
			`{"$ref":"#/$defs/n","$defs":{"n":{"properties":{"next":{"$ref":"#/$defs/n"},"v":{"type":"integer"}}}}}`,
			`{"next":{"next":{"v":"x"}}}`, `next.next.v: want integer, got string "x"`,
		},
		{`{"unevaluatedProperties":false}`, `{"a":1}`, `: does not fit its schema`},
	} {
		s, err := Read([]byte(c.schema))
		require.NoError(t, err, c.schema)
		resolved, err := s.CloneSchemas().Resolve(nil)
		require.NoError(t, err)
		var value any
		require.NoError(t, json.Unmarshal([]byte(c.value), &value))
		require.Error(t, resolved.Validate(value), "%s of %s", c.value, c.schema)
		var got []string
		for _, f := range Explain(s, value) {
			got = append(got, strings.TrimPrefix(f.Path, ".")+": "+f.Problem)
		}
		assert.Equal(t, c.want, strings.Join(got, "; "), "%s of %s", c.value, c.schema)
	}
}

func TestExplainHasALimit(t *testing.T) {
	t.Parallel()
	s, err := Read([]byte(`{"type":"array","items":{"properties":{"a":{"type":"string"}}}}`))
	require.NoError(t, err)
	many := make([]any, 10_000)
	for i := range many {
		many[i] = map[string]any{"a": 1.0}
	}
	faults := Explain(s, many)
	assert.Len(t, faults, maxFaults)
	assert.Equal(t, FaultError{Path: "[1].a", Problem: "want string, got number 1"}, faults[1])
	faults = Explain(s, "x")
	assert.Equal(t, []FaultError{{Problem: `want array, got string "x"`}}, faults)
}

// A recursive schema must not cost more by each level of the value.
func TestExplainDeepValues(t *testing.T) {
	t.Parallel()
	s, err := Read([]byte(`{"properties":{"v":{"type":"integer"},"next":{"anyOf":[{"$ref":"#"},{"type":"null"}]}}}`))
	require.NoError(t, err)
	value := map[string]any{"v": "x"}
	for range 200 {
		value = map[string]any{"next": value}
	}
	faults := Explain(s, value)
	require.Len(t, faults, 1)
	assert.Equal(t, strings.Repeat(".next", 200)+".v", faults[0].Path)
}
