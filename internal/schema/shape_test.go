package schema

import (
	"encoding/json"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// schemas that have a shape, and such as have none.
func shaped() []string {
	return []string{
		`{}`, `{"type":"object"}`, `{"type":"object","additionalProperties":{}}`, `{"type":"integer"}`, `{"type":["null","string"]}`,
		`{"type":"array","items":{"type":"number"}}`, `{"type":"array"}`, `{"type":"integer","minimum":1}`, `{"minimum":-2.5,"maximum":1}`,
		`{"type":"object","additionalProperties":{"maximum":1}}`,
		`{"type":"object","properties":{"a":{"type":"string","description":"x"},"b":{"type":["null","integer"]}},"required":["a"],"additionalProperties":false}`,
		`{"type":"object","properties":{"a":{"type":"object","properties":{"b":{"type":"boolean"}},"required":["b"]}}}`,
		`{"type":"object","additionalProperties":{"type":"array","items":{"type":"string"}}}`,
		`{"properties":{"a":{"type":"integer"}},"required":["b"],"title":"t","deprecated":true}`,
	}
}

func shapeless() []string {
	return []string{
		`{"enum":[1]}`, `{"type":"string","minLength":2}`, `{"type":"integer","exclusiveMinimum":1}`, `{"$ref":"#/$defs/a","$defs":{"a":{}}}`, `{"not":{}}`,
		`{"type":"object","properties":{"a":{"pattern":"x"}}}`, `{"type":"array","items":{"const":1}}`, `{"type":"array","maxItems":1}`,
		`{"anyOf":[{"type":"string"}]}`, `{"type":"object","patternProperties":{"a":{}}}`,
		`{"type":"object","dependentRequired":{"a":["b"]}}`,
	}
}

func read(t testing.TB, text string) *jsonschema.Schema {
	t.Helper()
	s := &jsonschema.Schema{}
	require.NoError(t, json.Unmarshal([]byte(text), s))
	return s
}

func TestShapeKnowsOnlyPlainSchemas(t *testing.T) {
	t.Parallel()
	for _, text := range shaped() {
		assert.NotNil(t, Of(read(t, text)), text)
	}
	for _, text := range shapeless() {
		assert.Nil(t, Of(read(t, text)), text)
	}
	assert.Nil(t, Of(nil))
	assert.False(t, Of(nil).Fits(nil), "who knows nothing says nothing")
	assert.True(t, Of(read(t, `{"type":"object","additionalProperties":{}}`)).OnlyObject())
	for _, text := range []string{`{}`, `{"type":"object","required":["a"]}`, `{"type":"object","additionalProperties":false}`, `{"type":["null","object"]}`} {
		assert.False(t, Of(read(t, text)).OnlyObject(), text)
	}
}

// FuzzShapeAgreesWithTheLibrary holds it against what it stands in for: for a
// schema that it knows, both say the same of every value.
func FuzzShapeAgreesWithTheLibrary(f *testing.F) {
	for _, value := range []string{
		`{}`, `{"a":"x"}`, `{"a":"x","b":null}`, `{"a":"x","b":1.5}`, `{"a":"x","c":1}`, `{"a":{"b":true}}`, `{"a":{"b":1}}`, `{"a":{}}`, `{"b":1}`,
		`[]`, `[1,2]`, `["a"]`, `"text"`, `1`, `1.0`, `-2.5`, `1e30`, `true`, `null`, `{"a":["x"]}`, `{"a":[1]}`,
	} {
		f.Add(value)
	}
	type pair struct {
		text     string
		shape    *Shape
		resolved *jsonschema.Resolved
	}
	var pairs []pair
	for _, text := range shaped() {
		s := read(f, text)
		resolved, err := s.CloneSchemas().Resolve(nil)
		require.NoError(f, err)
		pairs = append(pairs, pair{text, Of(s), resolved})
	}
	f.Fuzz(func(t *testing.T, text string) {
		var value any
		if json.Unmarshal([]byte(text), &value) != nil {
			t.Skip()
		}
		for _, p := range pairs {
			assert.Equal(t, p.resolved.Validate(value) == nil, p.shape.Fits(value), "%s of %s", text, p.text)
		}
	})
}
