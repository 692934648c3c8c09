package openapi_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/api/openapi"
	"github.com/oskadev/mailroom/bus/wire"
)

// action returns an action with a result.
func action(name, pattern, result string, args ...wire.Argument) wire.Action {
	return wire.Action{Name: name, Routes: []string{pattern}, Safe: strings.HasPrefix(pattern, "GET "), Args: args, Result: json.RawMessage(result)}
}

func things(actions ...wire.Action) *wire.Manifest {
	return &wire.Manifest{Service: "things", Version: "1", Protocol: 1, Actions: actions}
}

func argument(name, in, schema string) wire.Argument {
	return wire.Argument{Name: name, In: in, Schema: json.RawMessage(schema)}
}

func TestDefinitionsBecomeComponents(t *testing.T) {
	t.Parallel()
	tree := `{"$ref":"#/$defs/node","$defs":{"node":{"type":"object","properties":{"next":{"$ref":"#/$defs/node"},"whole":{"$ref":"#"},"a/b":{"$ref":"#/$defs/NO DE"}}},"NO DE":{"type":"string"},"unused":{}}}`
	doc, _ := build(t, table(t, "", things(
		action("ONE", "GET /things/one", tree),
		action("TWO", "POST /things/two", `{"definitions":{"node":{"type":"integer"}},"$ref":"#/definitions/node"}`, argument("body", wire.InBody, tree)),
	)), openapi.Options{})
	assert.JSONEq(t, `{"$ref":"#/components/schemas/ThingsOneResultNode"}`, doc.json(t, "components", "schemas", "ThingsOneResult"))
	assert.JSONEq(t, `{"$ref":"#/components/schemas/ThingsOneResultNode"}`, doc.json(t, "components", "schemas", "ThingsOneResultNode", "properties", "next"))
	assert.JSONEq(t, `{"$ref":"#/components/schemas/ThingsOneResult"}`, doc.json(t, "components", "schemas", "ThingsOneResultNode", "properties", "whole"))
	assert.JSONEq(t, `{"type":"string"}`, doc.json(t, "components", "schemas", "ThingsOneResultNoDe_2"), "generators take both names for one")
	assert.JSONEq(t, `{"type":"integer"}`, doc.json(t, "components", "schemas", "ThingsTwoResultNode"))
	assert.NotNil(t, doc.at("components", "schemas", "ThingsTwoBodyNode"))
}

func TestQueryOfAReferredObject(t *testing.T) {
	t.Parallel()
	doc, _ := build(t, table(t, "", things(action("FIND", "GET /things", `{}`, argument("query", wire.InQuery,
		`{"$ref":"#/$defs/q","$defs":{"q":{"type":"object","required":["kind"],"properties":{"kind":{"$ref":"#/$defs/kind"},"tags":{"type":"array","items":{"type":"string"}}}},"kind":{"enum":["a","b"],"description":"which"}}}`)))), openapi.Options{})
	assert.JSONEq(t, `[{"name":"kind","in":"query","required":true,"schema":{"$ref":"#/components/schemas/ThingsFindQueryKind"}},
		{"name":"tags","in":"query","required":false,"schema":{"type":"array","items":{"type":"string"}}},{"$ref":"#/components/parameters/RequestId"}]`,
		doc.json(t, "paths", "/things", "get", "parameters"))
}

func TestNamesThatCollide(t *testing.T) {
	t.Parallel()
	one := things(
		action("GET-IT", "GET /things/:id", `{"type":"integer"}`, argument("id", wire.InPath, `{"type":"integer"}`)),
		action("GET_IT", "DELETE /things/:name", `{"type":"string"}`, argument("name", wire.InPath, `{"type":"string"}`)),
		action("get it", "PUT /things/:a/of/:a", `{"type":"boolean"}`, argument("a", wire.InPath, ``), argument("a", wire.InPath, ``)),
		action("\"\n<script>", "GET /things/we ird", `{"type":"null"}`),
		action("👻", "GET /things/ghost", `{}`),
	)
	other := &wire.Manifest{Service: "things-get", Version: "1", Protocol: 1, Actions: []wire.Action{action("IT", "GET /things-get", `{}`)}}
	doc, text := build(t, table(t, "", one, other), openapi.Options{})
	ids := make(map[any]bool)
	doc.operations(func(_, _ string, op node) { ids[op["operationId"]] = true })
	assert.Equal(t, map[any]bool{
		"THINGS_GET_IT": true, "THINGS_GET_IT_2": true, "THINGS_GET_IT_3": true, "THINGS_GET_IT_4": true,
		"THINGS_SCRIPT": true, "THINGS": true, "REQUESTS_GET": true, "REQUESTS_CANCEL": true,
	}, ids)
	assert.NotNil(t, doc.at("paths", "/things/{id}", "delete"), "paths of one shape are one")
	assert.NotNil(t, doc.at("paths", "/things/{a}/of/{a_2}", "put"))
	assert.NotNil(t, doc.at("paths", "/things/we%20ird", "get"))
	assert.NotContains(t, string(text), "<script")
}

// Schemas that a document cannot have are left out, and the description says so.
func TestHostileSchemas(t *testing.T) {
	t.Parallel()
	for name, schema := range map[string]string{
		"1 MB":            `{"description":"` + strings.Repeat("x", 1<<20) + `"}`,
		"a foreign ref":   `{"$ref":"https://example.com/x.json"}`,
		"a dangling ref":  `{"$ref":"#/$defs/nowhere"}`,
		"a circle":        `{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}}}`,
		"an older draft":  `{"type":"number","exclusiveMinimum":true}`,
		"a list":          `[]`,
		"a wrong keyword": `{"properties":7}`,
	} {
		doc, text := build(t, table(t, "", things(action("GET", "GET /things", schema))), openapi.Options{})
		assert.Contains(t, doc.at("components", "schemas", "ThingsGetResult", "description"), "The schema is left out: ", name)
		assert.Less(t, len(text), 20_000, name)
	}
	for schema, want := range map[string]string{
		`true`:  `{}`,
		`false`: `{"not":{}}`,
		`{"type":"object","additionalProperties":false,"x-own":1,"nullable":true,"$comment":"c","title":"T"}`: `{"type":"object","additionalProperties":false,"title":"T"}`,
		`{"type":["string","null"],"enum":[],"examples":[],"required":["a","a"],"properties":{"a":{}}}`:       `{"type":["string","null"],"required":["a"],"properties":{"a":{}}}`,
		`{"items":[{"type":"string"},true]}`: `{"prefixItems":[{"type":"string"},{}]}`,
		`{"const":{"$ref":"#/$defs/x"},"default":[{"$ref":"#/$defs/x"}],"example":{"$ref":"#/$defs/x"},"enum":[{"a":{"$ref":"#/$defs/x"}}]}`: `{}`,
		`{"example":12345678901234567890,"minimum":5}`: `{"examples":[12345678901234567890],"minimum":5}`,
		`{"multipleOf":0}`:                        `{}`,
		`{"description":"a <b>, 1 < 2 <script>"}`: `{"description":"a &lt;b>, 1 < 2 &lt;script>"}`,
	} {
		doc, text := build(t, table(t, "", things(action("GET", "GET /things", schema))), openapi.Options{})
		assert.JSONEq(t, want, doc.json(t, "components", "schemas", "ThingsGetResult"), schema)
		assert.NotContains(t, string(text), `"x-own"`)
	}
}

func TestDeepSchema(t *testing.T) {
	t.Parallel()
	const depth = 6000
	schema := strings.Repeat(`{"items":`, depth) + `{}` + strings.Repeat(`}`, depth)
	_, text := build(t, table(t, "", things(action("GET", "GET /things", schema))), openapi.Options{})
	assert.Contains(t, string(text), "it is nested more than 128 deep")
	assert.Less(t, len(text), 20_000)
}

// A service cannot make the gateway work for long.
func TestSlowSchemas(t *testing.T) {
	t.Parallel()
	var chain, union strings.Builder
	for i := range 1500 {
		fmt.Fprintf(&chain, `"a%d":{"$ref":"#/$defs/a%d"},`, i, i+1)
		fmt.Fprintf(&union, `{"allOf":[{"$ref":"#/$defs/x"}]},`)
	}
	for name, schema := range map[string]string{
		"a chain of references": `{"$ref":"#/$defs/a0","$defs":{` + chain.String() + `"a1500":{}}}`,
		"a wide union":          `{"anyOf":[` + union.String() + `{}],"$defs":{"x":{"properties":{"\\\"[{":{}}}}}`,
		"many properties":       `{"properties":{` + strings.ReplaceAll(chain.String(), "$ref", "title") + `"x":{}}}`,
	} {
		var actions []wire.Action
		for i := range 200 {
			actions = append(actions, action(fmt.Sprintf("GET_%d", i), fmt.Sprintf("GET /things/%d", i), schema))
		}
		from := table(t, "", things(actions...))
		began := time.Now()
		text, _, err := openapi.Build(from, openapi.Options{})
		require.NoError(t, err)
		assert.Less(t, time.Since(began), 10*time.Second, name)
		assert.Less(t, len(text), 4<<20, name)
		t.Logf("%s: %d bytes of schema, %d of document in %v", name, len(schema), len(text), time.Since(began))
	}
}

func TestManySchemasOfOneService(t *testing.T) {
	t.Parallel()
	schema := `{"description":"` + strings.Repeat("x", 60_000) + `"}`
	var actions []wire.Action
	for i := range 100 {
		actions = append(actions, action(fmt.Sprintf("GET_%d", i), fmt.Sprintf("GET /things/%d", i), schema))
	}
	other := &wire.Manifest{Service: "zebras", Version: "1", Protocol: 1, Actions: []wire.Action{action("GET", "GET /zebras", `{"type":"string"}`)}}
	doc, text := build(t, table(t, "", things(actions...), other), openapi.Options{})
	assert.Less(t, len(text), 3<<20)
	assert.Contains(t, string(text), "those of the service have more than 524288 bytes")
	assert.Equal(t, "string", doc.at("components", "schemas", "ZebrasGetResult", "type"), "other services keep theirs")
}

func TestServiceWithManyActions(t *testing.T) {
	t.Parallel()
	const all = 10_000
	var actions []wire.Action
	for i := range all {
		actions = append(actions, action(fmt.Sprintf("CHANGE_%d", i), fmt.Sprintf("POST /things/:id/%d", i), `{"type":"object","properties":{"id":{"type":"integer"}}}`,
			argument("id", wire.InPath, `{"type":"integer"}`), argument("body", wire.InBody, `{"type":"object","properties":{"name":{"type":"string"}}}`)))
	}
	from := table(t, "", things(actions...))
	began := time.Now()
	text, _, err := openapi.Build(from, openapi.Options{})
	took := time.Since(began)
	require.NoError(t, err)
	var doc node
	require.NoError(t, json.Unmarshal(text, &doc))
	assert.Len(t, doc.object("paths"), openapi.MaxOperations+1)
	assert.Contains(t, doc.at("info", "description"), "8000 operations of things are left out")
	assert.Less(t, len(text), 6<<20)
	assert.Less(t, took, 10*time.Second)
	t.Logf("%d operations: %d bytes in %v", openapi.MaxOperations, len(text), took)
}

func TestLongNames(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("n", 1<<20)
	a := action(long, "GET /things", `{"$ref":"#/$defs/`+long[:1000]+`","$defs":{"`+long[:1000]+`":{"type":"string"}}}`)
	a.Summary = long
	b := action("SCOPES", "GET /things/scopes", `{}`)
	for i := range 100 {
		b.Scopes = append(b.Scopes, fmt.Sprintf("s:%d", i))
	}
	doc, text := build(t, table(t, "", things(a, b, action("PATH", "GET /things/"+long, `{}`))), openapi.Options{})
	assert.Less(t, len(text), 20_000)
	assert.Contains(t, doc.at("info", "description"), "2 operations of things are left out")
}

// FuzzBuild holds hostile declarations against what is true of every document.
func FuzzBuild(f *testing.F) {
	f.Add("GET_IT", "summary", "GET /things/:id/:id", `{"$ref":"#/$defs/a","$defs":{"a":{"type":["null","string"]}}}`, "scope")
	f.Add("\"</script>", "a\nb", "POST /things/{x}", `{"properties":{"$ref":{"$ref":"#"}}}`, "a b")
	f.Add("", "", "DELETE /things/%2f", `{"allOf":[],"items":[{}],"enum":[{"$ref":"x"}]}`, "")
	f.Fuzz(func(t *testing.T, name, summary, pattern, schema, scope string) {
		if !json.Valid([]byte(schema)) {
			t.Skip()
		}
		var args []wire.Argument
		for i := range strings.Count(pattern, "/:") {
			args = append(args, wire.Argument{Name: fmt.Sprint("a", i)})
		}
		for _, list := range [][]wire.Argument{args, append(args, argument("last", "", schema))} {
			a := action(name, pattern, schema, list...)
			a.Summary, a.Scopes = summary, []string{scope}
			build(t, table(t, "", things(a, action("OTHER", "GET /things/other", schema))), openapi.Options{Auth: "required"})
		}
	})
}
