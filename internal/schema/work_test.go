package schema

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWorkOfRecursiveSchemas(t *testing.T) {
	t.Parallel()
	nested := func(depth int) any {
		var value any = map[string]any{}
		for range depth {
			value = map[string]any{"x": value}
		}
		return value
	}
	list, err := Read([]byte(`{"properties":{"x":{"anyOf":[{"$ref":"#"},{"type":"null"}]}}}`))
	require.NoError(t, err)
	assert.Less(t, Work(list, nested(200)), 2000, "it grows with the depth")

	for _, text := range []string{
		`{"allOf":[{"properties":{"x":{"$ref":"#"}}},{"properties":{"x":{"$ref":"#"}}}]}`,
		`{"$ref":"#/$defs/n","$defs":{"n":{"anyOf":[{"additionalProperties":{"$ref":"#/$defs/n"}},{"patternProperties":{"x":{"$ref":"#/$defs/n"}}}]}}}`,
		`{"properties":{"x":{"$ref":"#"}},"if":{"properties":{"x":{"$ref":"#"}}}}`,
	} {
		doubles, err := Read([]byte(text))
		require.NoError(t, err)
		assert.Less(t, Work(doubles, nested(5)), 1000)
		began := time.Now()
		assert.Greater(t, Work(doubles, nested(200)), MaxWork, "it doubles at each level")
		assert.Less(t, time.Since(began), time.Second)
	}
	items, err := Read([]byte(`{"items":{"$ref":"#"},"contains":{"$ref":"#"}}`))
	require.NoError(t, err)
	var value any = []any{}
	for range 100 {
		value = []any{value}
	}
	assert.Greater(t, Work(items, value), MaxWork)
	value = make([]any, 100_000) // many short items behind a few levels
	for range 6 {
		value = []any{value}
	}
	assert.Greater(t, Work(items, value), MaxWork)
}
