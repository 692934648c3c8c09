package route

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus/wire"
)

// A manifest is foreign data: no schema in it may end the process.
func TestReferencesThatCouldRunInCirclesAreRefused(t *testing.T) {
	t.Parallel()
	for _, schema := range []string{
		`{"properties":{"x":{"$ref":"#/properties/x"}}}`,
		`{"allOf":[{"$ref":"#/allOf/0"}]}`,
		`{"$anchor":"a","allOf":[{"$ref":"#a"}]}`,
		`{"$dynamicAnchor":"a","allOf":[{"$dynamicRef":"#a"}]}`,
		`{"$id":"http://here/s","allOf":[{"$ref":"http://here/s"}]}`,
		`{"$defs":{"a":{"dependentSchemas":{"x":{"$ref":"#/$defs/a"}}}},"$ref":"#/$defs/a"}`,
		`{"$defs":{"a/b":{}},"$ref":"#/$defs/a~1b"}`,
		`{"items":{"items":[{"$ref":"other.json"}]}}`,
	} {
		_, err := newArguments(&wire.Action{Args: []wire.Argument{{Name: "body", In: wire.InBody, Schema: json.RawMessage(schema)}}}, 0)
		require.Error(t, err, schema)
	}
	// A property may have any name.
	_, err := newArguments(&wire.Action{Args: []wire.Argument{{
		Name: "body", In: wire.InBody, Schema: json.RawMessage(`{"properties":{"$ref":{"type":"string"},"$id":{"type":"integer"}}}`),
	}}}, 0)
	require.NoError(t, err)
}

func TestSchemaWithTooManyAlternatives(t *testing.T) {
	t.Parallel()
	defs := make([]string, 0, 9)
	for level := range 8 {
		refs := strings.Repeat(fmt.Sprintf(`{"$ref":"#/$defs/l%d"},`, level+1), 20)
		defs = append(defs, fmt.Sprintf(`"l%d":{"anyOf":[%s]}`, level, strings.TrimSuffix(refs, ",")))
	}
	defs = append(defs, `"l8":{"type":"string"}`)
	schema := `{"$defs":{` + strings.Join(defs, ",") + `},"properties":{"x":{"$ref":"#/$defs/l0"}}}`
	_, err := newArguments(&wire.Action{Args: []wire.Argument{{Name: "body", In: wire.InBody, Schema: json.RawMessage(schema)}}}, 0)
	require.ErrorContains(t, err, "schemas below anyOf for one value: more than 1000")
}

func TestIntegersOfABodyAreThoseThatAWorkerReads(t *testing.T) {
	t.Parallel()
	args, err := newArguments(&wire.Action{Args: []wire.Argument{{Name: "body", In: wire.InBody, Schema: json.RawMessage(
		`{"type":"object","properties":{"n":{"type":["null","integer"]},"f":{"type":"number"}}}`)}}}, 0)
	require.NoError(t, err)
	for body, ok := range map[string]bool{
		`{"n":1}`: true, `{"n":-9223372036854775808}`: true, `{"n":null}`: true, `{"f":1.0}`: true, `{}`: true,
		`{"n":1.0}`: false, `{"n":1e2}`: false, `{"n":9223372036854775808}`: false, `{"n":1e30}`: false,
	} {
		_, problems, _ := checkObject(body, args.object)
		assert.Equal(t, ok, len(problems) == 0, "%s: %v", body, problems)
	}
}
