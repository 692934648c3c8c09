package schema

import (
	"testing"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTypesOfReferencesThatLeadNowhere(t *testing.T) {
	t.Parallel()
	assert.Empty(t, Types(&jsonschema.Schema{}, &jsonschema.Schema{Ref: "#/$defs/nowhere"}))
	circle := &jsonschema.Schema{Ref: "#/$defs/a", Defs: map[string]*jsonschema.Schema{
		"a": {Ref: "#/$defs/b"}, "b": {AnyOf: []*jsonschema.Schema{{Ref: "#/$defs/a"}}},
	}}
	assert.Empty(t, Types(circle, circle))
}

func TestSchemasThatCannotBeJudgedBy(t *testing.T) {
	t.Parallel()
	for text, problem := range map[string]string{
		`{`:                               "unexpected end",
		`{"type":"object","required":7}`:  "",
		`{"$ref":"other.json"}`:           `$ref "other.json" is not supported`,
		`{"$ref":"#"}`:                    "refers to itself",
		`{"type":"string","pattern":"("}`: "",
		`{"properties":{"a":{"$anchor":"here"}}}`: `$anchor "here" is not supported`,
	} {
		_, err := Read([]byte(text))
		require.ErrorContains(t, err, problem, text)
	}
	s, err := Read(nil)
	require.NoError(t, err)
	assert.Equal(t, &jsonschema.Schema{}, s)
	s, err = Read([]byte(`{"$ref":"#/$defs/a","$defs":{"a":{"type":"string"}}}`))
	require.NoError(t, err)
	assert.Equal(t, []string{"string"}, Types(s, s))
}
