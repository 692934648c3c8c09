package route

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus/wire"
)

func actionOf(schemas ...string) *wire.Action {
	a := &wire.Action{Name: "DO"}
	for i, schema := range schemas {
		a.Args = append(a.Args, wire.Argument{Name: string(rune('a' + i)), Schema: json.RawMessage(schema)})
	}
	return a
}

func argumentsOf(t testing.TB, parameters int, schemas ...string) *arguments {
	t.Helper()
	args, err := newArguments(actionOf(schemas...), parameters)
	require.NoError(t, err)
	return args
}

func TestArgumentsHaveToMatchTheRoute(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		parameters int
		schemas    []string
	}{
		{2, []string{`{}`}},
		{0, []string{`{}`, `{}`}},
		{1, nil},
		{1, []string{`{"type":17}`}},
		{1, []string{`{"$ref":"#/$defs/nowhere"}`}},
		{0, []string{`{"properties":{"x":{"pattern":"("}}}`}},
		{0, []string{`{"$ref":"#"}`}},
		{0, []string{`{"$ref":"#/$defs/A","$defs":{"A":{"$ref":"#/$defs/A"}}}`}},
		{1, []string{`{"$defs":{"A":{"anyOf":[{"type":"null"},{"$ref":"#/$defs/B"}]},"B":{"not":{"$ref":"#/$defs/A"}}}}`}},
	} {
		_, err := newArguments(actionOf(c.schemas...), c.parameters)
		require.Error(t, err, c)
	}
	assert.Nil(t, argumentsOf(t, 1, ``).object, "an argument without a schema is anything")
}

// Libraries of other languages write schemas in other ways.
func TestSchemasOfOtherLanguages(t *testing.T) {
	t.Parallel()
	o := argumentsOf(t, 0, `{
		"$schema":"https://json-schema.org/draft/2020-12/schema","title":"Query","type":"object","additionalProperties":false,
		"$defs":{"Size":{"enum":["S","M"],"type":"string"},"Page":{"type":"integer","minimum":1}},
		"properties":{
			"size":{"$ref":"#/$defs/Size","default":"S"},
			"page":{"anyOf":[{"type":"integer","minimum":1},{"type":"null"}],"default":null},
			"from":{"$ref":"#/$defs/Page"},
			"also":{"oneOf":[{"$ref":"#/$defs/Page"},{"type":"null"}]},
			"on":{"type":["null","boolean"]},
			"sizes":{"type":"array","items":{"$ref":"#/$defs/Size"},"maxItems":2},
			"pages":{"type":"array","items":{"$ref":"#/$defs/Page"}}
		}}`).object
	values, problems := o.fromQuery(map[string][]string{
		"size": {"M"}, "page": {"5"}, "from": {"6"}, "also": {"7"}, "on": {"true"}, "sizes": {"S", "M"}, "pages": {"1"},
	})
	require.Empty(t, problems)
	assert.JSONEq(t, `{"size":"M","page":5,"from":6,"also":7,"on":true,"sizes":["S","M"],"pages":[1]}`, string(appendJSON(nil, values)))
	for name, texts := range map[string][]string{
		"size": {"XL"}, "page": {"0"}, "from": {"0"}, "also": {"x"}, "on": {"1"}, "sizes": {"S", "M", "S"}, "pages": {"0"},
	} {
		_, problems := o.fromQuery(map[string][]string{name: texts})
		require.Len(t, problems, 1, name)
		field, _, _ := strings.Cut(problems[0].Field, "[")
		assert.Equal(t, name, field)
		assert.NotContains(t, problems[0].Problem, "validating")
	}
	body, problems, f := checkObject(`{"size":"M","page":null,"from":6,"sizes":[]}`, o)
	require.Nil(t, f)
	require.Empty(t, problems)
	assert.NotEmpty(t, body)
	_, problems, _ = checkObject(`{"size":"XL","page":"1","from":0,"sizes":["?"],"more":1}`, o)
	assert.Len(t, problems, 5)
}

// Errors of the schema library would show its internals.
func TestProblemsAreInPlainWords(t *testing.T) {
	t.Parallel()
	o := argumentsOf(t, 0, `{"type":"object","required":["s"],"additionalProperties":false,
		"properties":{"s":{"type":"string"},"n":{"type":["null","integer"]},"b":{"type":"boolean"}}}`).object
	for body, want := range map[string]string{
		`{"s":1}`:           "want string, got number 1",
		`{"s":"a","n":"b"}`: `want integer, got string "b"`,
		`{"s":"a","n":1.5}`: "want integer, got number 1.5",
		`{"s":"a","b":[]}`:  "want boolean, got array",
		`{"s":{}}`:          "want string, got object",
		`{"s":null}`:        "want string, got null",
		`{"s":true}`:        "want string, got boolean true",
		`{}`:                "is missing",
		`{"s":"a","x":1}`:   "is not a field of this action",
		`[]`:                "want object, got array",
	} {
		_, problems, f := checkObject(body, o)
		require.Nil(t, f)
		require.Len(t, problems, 1, body)
		assert.Equal(t, want, problems[0].Problem, body)
	}
}

func FuzzBody(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `{"s":"a","n":1}`, `{"s":"a","n":9007199254740993}`, `{"s":1e400}`, `[]`, `null`, "{\"s\":\"\xff\"}", "\x00",
		`{"s":"a","s":1}`, `{"s":"a","l":[1,"2"]}`, ` {"s" : "\ud800"} `, strings.Repeat("[", 200),
	} {
		f.Add(seed)
	}
	taking := argumentsOf(f, 0, `{"type":"object","required":["s"],"additionalProperties":false,"properties":{
		"s":{"type":"string"},"n":{"type":"integer"},"l":{"type":["null","array"],"items":{"type":"string"}}}}`).object
	anything := argumentsOf(f, 0, ``).object
	f.Fuzz(func(t *testing.T, body string) {
		for _, o := range []*object{taking, anything, nil} {
			passed, problems, failed := checkObject(body, o)
			if failed != nil || len(problems) > 0 {
				continue
			}
			if o == nil {
				if passed != "" {
					t.Fatalf("an action without a body got %q", passed)
				}
				continue
			}
			if passed != body {
				t.Fatalf("%q was passed on as %q", body, passed)
			}
			if !json.Valid([]byte("[" + passed + "]")) {
				t.Fatalf("%q is no argument", passed)
			}
		}
	})
}

func FuzzQuery(f *testing.F) {
	for _, seed := range []string{"", "1", "-1", "1.5", "true", "\xff", "\x00", "null", " 1", "1e400", "0x1p4", "1_0", "Inf", "+1", ".5", "--"} {
		f.Add(seed)
	}
	o := argumentsOf(f, 0, `{"properties":{"s":{"type":"string"},"i":{"type":"integer"},"n":{"type":"number"},
		"b":{"type":"boolean"},"a":{"type":"array","items":{"type":"number"}},"x":{}}}`).object
	f.Fuzz(func(t *testing.T, text string) {
		for name := range o.fields {
			values, problems := o.fromQuery(map[string][]string{name: {text}})
			if (len(values) == 1) == (len(problems) == 1) {
				t.Fatalf("%s=%q: %v and %v", name, text, values, problems)
			}
			if len(values) == 1 && len(o.checkBody(anyOf(t, appendJSON(nil, values)))) > 0 {
				t.Fatalf("%s=%q became %s, which does not fit", name, text, appendJSON(nil, values))
			}
		}
	})
}

func anyOf(t *testing.T, text []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%s is not JSON: %v", text, err)
	}
	return v
}

func TestSchemasThatReferToThemselves(t *testing.T) {
	t.Parallel()
	for _, schema := range []string{
		`{"type":"object","required":["n"],"additionalProperties":false,"properties":{"n":{"type":"integer"},"next":{"$ref":"#"}}}`,
		`{"$ref":"#/$defs/Node","$defs":{"Node":{"type":"object","required":["n"],"additionalProperties":false,
			"properties":{"n":{"type":"integer"},"next":{"$ref":"#/$defs/Node"}}}}}`,
		`{"$ref":"#/definitions/Node","definitions":{"Node":{"type":"object","required":["n"],"additionalProperties":false,
			"properties":{"n":{"type":"integer"},"next":{"anyOf":[{"$ref":"#/definitions/Node"},{"type":"null"}]}}}}}`,
	} {
		o := argumentsOf(t, 0, schema).object
		_, problems, _ := checkObject(`{"n":1,"next":{"n":2,"next":{"n":3}}}`, o)
		require.Empty(t, problems, schema)
		_, problems, _ = checkObject(`{"n":1,"next":{"n":2,"next":{"n":"3"}}}`, o)
		require.Len(t, problems, 1, schema)
		assert.Equal(t, "next.next.n", problems[0].Field)
		assert.Contains(t, problems[0].Problem, `got string "3"`)
		_, problems, _ = checkObject(`{"next":5,"more":1}`, o)
		require.Len(t, problems, 3, schema)
		assert.NotContains(t, problems[0].Problem, "validating")
	}
}
