package schemacost

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// doubled returns a schema whose validation visits a schema 2^levels times.
func doubled(levels int, keyword string) string {
	var b strings.Builder
	b.WriteString(`{"$ref":"#/$defs/a0","$defs":{`)
	for i := range levels {
		fmt.Fprintf(&b, `"a%d":{"%s":[{"$ref":"#/$defs/a%d"},{"$ref":"#/$defs/a%d"}]},`, i, keyword, i+1, i+1)
	}
	fmt.Fprintf(&b, `"a%d":{"type":"string"}}}`, levels)
	return b.String()
}

func TestCostsOverTheLimits(t *testing.T) {
	t.Parallel()
	many := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return strings.TrimSuffix(b.String(), ",")
	}
	for name, c := range map[string]struct{ schema, problem string }{
		"depth":    {strings.Repeat(`{"items":`, 4900) + "{}" + strings.Repeat("}", 4900), "nested deeper than 64"},
		"arrays":   {`{"enum":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + "}", "nested deeper than 64"},
		"allOf":    {doubled(40, "allOf"), "steps of validation"},
		"anyOf":    {doubled(40, "anyOf"), "more than"},
		"nodes":    {`{"properties":{` + many(10_001, `"a%d":{},`) + `}}`, "arrays and objects"},
		"patterns": {`{"properties":{` + many(500, `"a%d":{"pattern":"[a-z]{1000}"},`) + `}}`, "patterns"},
		"names":    {`{"patternProperties":{` + many(500, `"%d[a-z]{1000}":{},`) + `}}`, "patterns"},
		"paths":    {`{"properties":{"` + strings.Repeat("x", 100_000) + `":{"properties":{` + many(100, `"a%d":{},`) + `}}}}`, "paths"},
		"branches": {`{"anyOf":[` + many(1001, `{"const":%d},`) + `]}`, "below anyOf"},
		"case":     {`{"properties":{"a":{"$REF":"#/properties/a"}}}`, `unknown keyword "$REF": write $ref`},
		"folding":  {`{"propertieſ":{"a":{}}}`, "write properties"},
		"repeated": {`{"properties":{"a":{}},"properties":{"b":{}}}`, "duplicate"},
		"syntax":   {`{"a":`, "unexpected EOF"},
	} {
		began := time.Now()
		require.ErrorContains(t, new(Cost).Add([]byte(c.schema)), c.problem, name)
		assert.Less(t, time.Since(began), time.Second, name)
	}
}

func TestCostsOfUsualSchemas(t *testing.T) {
	t.Parallel()
	c := new(Cost)
	for range 100 {
		require.NoError(t, c.Add([]byte(`{"type":"object","properties":{"name":{"type":"string","pattern":"^[a-z]{1,64}$"},`+
			`"parent":{"anyOf":[{"$ref":"#"},{"type":"null"}]},"[[[{{{\"":{"items":{"$ref":"#/$defs/n"}}},"$defs":{"n":{"items":{"$ref":"#/$defs/n"}}}}`)))
	}
	assert.Equal(t, 2, c.Alternatives)
	assert.True(t, c.Recursive)
	flat := new(Cost)
	require.NoError(t, flat.Add([]byte(`{"$ref":"#/$defs/n","$defs":{"n":{"type":"string"}}}`)))
	assert.False(t, flat.Recursive)
	require.NoError(t, c.Add(nil))
	require.NoError(t, c.Add([]byte(`{"properties":{"Items":{"enum":[{"AllOf":1}]},"$REF":{}}}`)), "these are names of fields, and data")
	require.NoError(t, c.Add([]byte("true")))
	require.NoError(t, c.Add([]byte(doubled(8, "allOf"))))
}
