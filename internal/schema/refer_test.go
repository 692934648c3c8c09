package schema

import (
	"strings"
	"testing"
	"time"

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
		`{`:                               "unexpected EOF",
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

// Schemas that cost too much are refused before the library reads them: it would overflow
// the stack of the process, or hold hundreds of megabytes.
func TestSchemasThatCostTooMuch(t *testing.T) {
	t.Parallel()
	for text, problem := range map[string]string{
		`{"$ref":"#/properties/a","$REF":"#/properties/a"}`:                         "write $ref",
		strings.Repeat(`{"items":`, 2000) + "{}" + strings.Repeat("}", 2000):        "nested deeper than 64",
		`{"properties":{"a":{"$Ref":"#/properties/a"}}}`:                            "write $ref",
		`{"properties":{"a":{"type":"string"}},"properties":{"a":{"minLength":1}}}`: "duplicate",
	} {
		began := time.Now()
		_, err := Read([]byte(text))
		require.ErrorContains(t, err, problem)
		assert.Less(t, time.Since(began), 100*time.Millisecond)
	}
}
