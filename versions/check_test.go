package versions

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus/registry"
	"github.com/oskadev/mailroom/bus/wire"
)

func services() registry.Snapshot {
	id := wire.Argument{Name: "id", In: wire.InPath, Schema: []byte(`{"type":"integer"}`)}
	body := wire.Argument{Name: "body", In: wire.InBody, Schema: []byte(`{"type":"object","required":["x"]}`)}
	order := wire.Argument{Name: "body", In: wire.InBody, Schema: []byte(`{"type":"object","required":["sum","to"],"additionalProperties":false,
		"properties":{"sum":{"type":"integer"},"to":{"$ref":"#/$defs/Address"},"notes":{"type":["null","array"],"items":{"type":"string"}},
		"gift":{"type":["null","object"],"required":["who"],"properties":{"who":{"type":"string"}}}},
		"$defs":{"Address":{"type":"object","required":["city"],"properties":{"city":{"type":"string"},"near":{"$ref":"#/$defs/Address"}}}}}`)}
	thing := []byte(`{"type":"object","required":["id"],"additionalProperties":false,"properties":{"id":{"type":"integer"},"name":{"type":"string"}}}`)
	return registry.Snapshot{"things": {Name: "things", Manifest: &wire.Manifest{Service: "things", Actions: []wire.Action{
		{Name: "GET", Safe: true, Args: []wire.Argument{id}, Scopes: []string{"things:read"}, Result: thing},
		{Name: "PUT", Args: []wire.Argument{id, body}, Scopes: []string{"things:write"}},
		{Name: "ORDER", Args: []wire.Argument{order}},
	}}}}
}

func TestFileIsHeldAgainstManifests(t *testing.T) {
	t.Parallel()
	const text = `versions:
  v1:
    routes:
      GET /things/:id:
        path: {id: {type: integer}}
        steps:
          - {name: a, call: things GET, args: [path.id]}
          - {name: b, call: others GET, args: [path.id]}
      PUT /things/:id:
        steps:
          - {name: a, call: things GET, args: [path.id]}
          - {name: b, call: things LOOK}
          - {name: c, call: things PUT, args: ['1']}
          - {name: d, call: things GET, args: ['1', '2']}
`
	file, faults := Parse([]byte(text), nil)
	require.Empty(t, faults)
	bad, faults := Parse([]byte(text), services())
	assert.Nil(t, bad)
	assert.Equal(t, strings.Join([]string{
		`8:20: warning: the service others has not been seen yet`,
		`11:48: things GET: path.id: id has to be of type integer, and is of type string`,
		`12:20: things has no action LOOK; it has GET, ORDER, PUT`,
		`13:20: things PUT: the argument body is missing`,
		`14:20: things GET takes 1 arguments, not 2`,
	}, "\n"), faults.String())
	plans := file.Versions[0].Plans
	assert.False(t, plans[0].Safe(services()), "others is not known")
	assert.False(t, plans[1].Safe(services()))
	scopes, unknown := plans[1].Needs(services())
	assert.Contains(t, scopes, "things:write")
	assert.Equal(t, "things", unknown, "it has no LOOK")
}

// Faults of the file alone do not hide those that Check finds.
func TestFaultsOfBothKindsAreToldAtOnce(t *testing.T) {
	t.Parallel()
	file, faults := Parse([]byte(`versions:
  v1:
    rotes: {}
    routes:
      FETCH /things/:id:
        steps:
          - {name: a, call: things LOOK}
      GET /things/:id:
        path: {id: {type: integer}}
        steps:
          - {name: a, call: things LOOK, args: [path.no]}
          - {name: b, call: things GET, args: [path.no]}
          - {name: c, call: things}
`), services())
	assert.Nil(t, file)
	assert.Equal(t, strings.Join([]string{
		`3:5: a version has no "rotes"; it may have deprecated, sunset, routes`,
		`5:7: route "FETCH /things/:id": want a method and a path, as in POST /payments or GET /users/:id`,
		`7:20: things has no action LOOK; it has GET, ORDER, PUT`,
		`11:20: things has no action LOOK; it has GET, ORDER, PUT`,
		`11:49: path.no: unknown field no`,
		`12:48: path.no: unknown field no`,
		`13:29: call: want a service and an action, as in users GET_USER`,
	}, "\n"), faults.String())
}

// Check compares arguments with their schemas field by field, and reports certain mismatches.
func TestArgumentsFieldByField(t *testing.T) {
	t.Parallel()
	const body = `{type: object, required: [sum, to], additionalProperties: false, properties: {sum: {type: integer}, to: {type: object}, notes: {type: array}}}`
	for name, c := range map[string]struct{ body, arg, said string }{
		"the same":                     {body, "body", ""},
		"whatever":                     {"{type: object}", "body", ""},
		"a number may be whole":        {strings.Replace(body, "integer", "number", 1), "body", ""},
		"another type":                 {strings.Replace(body, "integer", "string", 1), "body", "body: body.sum has to be of type integer, and is of type string"},
		"another type within":          {strings.Replace(body, "to: {type: object", "to: {type: object, properties: {near: {type: object, properties: {city: {type: integer}}}}", 1), "body", "body: body.to.near.city has to be of type string, and is of type integer"},
		"another type of items":        {strings.Replace(body, "{type: array", "{type: array, items: {type: integer}", 1), "body", "body: body.notes[] has to be of type string, and is of type integer"},
		"missing":                      {`{type: object, additionalProperties: false, properties: {to: {type: object}}, required: [to]}`, "body", "body: body.sum is missing"},
		"one that may be left out":     {strings.Replace(body, "[sum, to]", "[to]", 1), "body", "things ORDER: body: body.sum is required, but may be missing"},
		"unknown":                      {strings.Replace(body, "properties: {", "properties: {more: {}, ", 1), "body", "body: body.more is unknown there; known are gift, notes, sum, to"},
		"a map":                        {body, `{"sum": body.sum, "to": {"city": "Wien"}}`, ""},
		"a map with another type":      {body, `{"sum": "1", "to": body.to}`, "body.sum has to be of type integer, and is of type string"},
		"a map without one":            {body, `{"sum": 1}`, "body.to is missing"},
		"a map with one too many":      {body, `{"sum": 1, "to": body.to, "more": 1}`, "body.more is unknown there"},
		"a map with one missing in it": {body, `{"sum": 1, "to": {}}`, "body.to.city is missing"},
		"a map of whatever":            {body, `{"sum": 1, (body.to.city): 1}`, ""},
		"nothing":                      {body, "nil", "body has to be of type object, and is of type null"},
		"whatever a condition gives":   {body, "body.sum > 1 ? body : nil", ""},
		"what a step gave":             {body, "thing", "body.sum is missing"},
		"a field of what a step gave":  {body, `{"sum": thing.id, "to": {"city": thing.name}}`, ""},
		"another type of a step":       {body, `{"sum": thing.name, "to": body.to}`, "body.sum has to be of type integer, and is of type null or string"},
		"no field of a step":           {body, `{"sum": thing.nosuch, "to": body.to}`, "thing.nosuch, \"to\": body.to}: unknown field nosuch"},
		"null fits too":                {strings.Replace(body, "properties: {", "properties: {gift: {type: [\"null\", object], additionalProperties: false}, ", 1), `{"sum": 1, "to": {"city": ""}, "gift": body.gift}`, "body.gift.who is missing"},
		"a list may be empty":          {strings.Replace(body, "required: [sum, to]", "required: [sum, to, notes]", 1), `{"sum": 1, "to": {"city": ""}, "notes": [1]}`, ""},
		"an operator of other types":   {body, `{"sum": thing.id + "x", "to": body.to}`, "mismatched types int and string"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, faults := Parse([]byte(`versions: {v1: {routes: {POST /orders: {body: `+c.body+`, steps: [{name: thing, call: things GET, args: ['1']}, {call: things ORDER, args: [`+"'"+c.arg+"'"+`]}]}}}}`), services())
			if c.said == "" {
				assert.Empty(t, faults)
				return
			}
			assert.Contains(t, faults.String(), c.said)
			assert.Equal(t, strings.Contains(" one that may be left out, unknown, another type within, another type of items, null fits too,", " "+name+","), !faults.Fatal(), "what may fit is a warning")
		})
	}
}

// Check covers conditions and results too. It does not warn about values that a condition
// may have checked.
func TestConditionsAndResultsAreHeldAgainstManifests(t *testing.T) {
	t.Parallel()
	_, faults := Parse([]byte(`versions:
  v1:
    routes:
      POST /orders:
        body: {type: object, properties: {sum: {type: integer}}}
        steps:
          - {name: thing, call: things GET, args: ['1'], when: body.sum != nil}
          - {name: b, call: things GET, args: ['1'], when: thing.nosuch == 1}
          - {name: c, call: things ORDER, args: ['{"sum": body.sum, "to": {"city": thing == nil ? "" : thing.name}}']}
          - {name: d, call: things PUT, args: [thing.id, body]}
        result: thing.other
`), services())
	assert.Equal(t, "8:60: thing.nosuch == 1: unknown field nosuch\n11:17: thing.other: unknown field other", faults.String())
}

// Arguments that fit, or may fit, are no faults.
func TestCorrectFilesAreTaken(t *testing.T) {
	t.Parallel()
	result := func(schema string) registry.Snapshot {
		all := services()
		all["things"].Manifest.Actions[0].Result = []byte(schema)
		return all
	}
	for name, c := range map[string]struct{ steps, result string }{
		"a name of a builtin, later":  {`[{when: 'count(body.items, # < 0) > 0', refuse: {code: NO, status: 400, message: no}}, {name: count, call: things GET, args: ['1']}]`, `{}`},
		"one's own name of a builtin": {`[{call: things GET, args: ['get(body, "id")']}]`, `{}`},
		"a pattern's field":           {`[{name: a, call: things GET, args: ['1']}, {call: things GET, args: [a.x_a]}]`, `{"type":"object","properties":{"id":{}},"patternProperties":{"^x_":{}},"additionalProperties":false}`},
		"a number that may be whole":  {`[{name: a, call: things GET, args: ['1']}, {call: things GET, args: ['a.n % 2']}]`, `{"type":"object","required":["n"],"properties":{"n":{"type":"number"}}}`},
		"fields but some":             {`[{name: a, call: things GET, args: ['1']}, {call: things ORDER, args: ['{"sum": a.sum, "to": a.to}']}]`, `{"type":"object","additionalProperties":{"not":{"type":"null"}}}`},
		"what a condition left out":   {`[{name: a, call: things GET, args: ['1'], when: body.id != nil}, {call: things ORDER, args: ['{"sum": 1, "to": {"city": ""}, "gift": a}']}]`, `{"type":"object","additionalProperties":false}`},
		"what may be null":            {`[{name: a, call: things GET, args: ['1']}, {call: things GET, args: ['a.id ?? 1']}]`, `{"type":["null","object"],"properties":{"id":{"type":"string"}}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, faults := Parse([]byte(`versions: {v1: {routes: {POST /orders: {body: {type: object, properties: {items: {type: array, items: {type: number}}, id: {}}}, steps: `+c.steps+`}}}}`), result(c.result))
			assert.False(t, faults.Fatal(), faults.String())
		})
	}
}

// A schema with many references to itself is read only once.
func TestSchemasThatReferToThemselvesOften(t *testing.T) {
	t.Parallel()
	var fields []string
	for i := range 40 {
		fields = append(fields, fmt.Sprintf(`"f%d":{"$ref":"#/$defs/N"}`, i))
	}
	schema := []byte(`{"$ref":"#/$defs/N","$defs":{"N":{"type":"object","additionalProperties":false,"properties":{` + strings.Join(fields, ",") + `}}}}`)
	all := services()
	all["things"].Manifest.Actions[0].Result = schema
	all["things"].Manifest.Actions[1].Args[1].Schema = schema
	file, faults := Parse([]byte(`versions: {v1: {routes: {POST /orders: {steps: [{name: a, call: things GET, args: ['1']}, {call: things PUT, args: ['1', a]}]}}}}`), all)
	require.Empty(t, faults)
	assert.NotNil(t, file)
}

// A plan gets only the declared parameters of a query; others are faults.
func TestQueriesAreSpokenOfAsDeclared(t *testing.T) {
	t.Parallel()
	said := func(query, result string) string {
		_, faults := Parse([]byte(`versions: {v1: {routes: {GET /things: {`+query+`steps: [{name: a, call: things GET, args: ['1']}], result: '`+result+`'}}}}`), services())
		return faults.String()
	}
	const open = `query: {type: object, additionalProperties: true, patternProperties: {^x: {}}, properties: {n: {type: integer}}}, `
	assert.Contains(t, said("", "query.n"), "query.n: unknown field n")
	assert.Contains(t, said(open, "query.xn"), "query.xn: unknown field xn", "it is dropped, whatever the schema allows")
	assert.Empty(t, said(open, "(query.n ?? 1) + 1"))
	assert.Empty(t, said("", "query"))
	assert.Empty(t, said(`query: {$ref: "#/$defs/Q", type: object, $defs: {Q: {properties: {n: {}}}}}, `, "query.n"))
}

// The timeout of a route is at least 1 ms, and at most the time for which outcomes of steps
// are stored.
func TestTimeoutsHaveBounds(t *testing.T) {
	t.Parallel()
	for timeout, taken := range map[string]bool{"1ms": true, "168h": true, "999us": false, "0s": false, "-1s": false, "168h1ms": false, "10": false} {
		_, faults := Parse([]byte(`versions: {v1: {routes: {GET /things: {timeout: `+timeout+`, steps: [{call: things GET}]}}}}`), nil)
		assert.Equal(t, taken, !faults.Fatal(), timeout)
	}
	_, faults := Parse([]byte(`versions: {v1: {routes: {GET /things: {timeout: 200h, steps: [{call: things GET}]}}}}`), nil)
	assert.Equal(t, `1:49: timeout "200h": want a time such as 10s, from 1ms to 168h`, faults.String())
}

// The dates of a route are checked together with those of its version.
func TestNothingIsGoneBeforeItIsDeprecated(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ version, route, said string }{
		"a route":         {"", "deprecated: 2027-06-30, sunset: 2027-06-29, ", "2:49: sunset comes before deprecated"},
		"its sunset":      {"deprecated: 2027-06-30, ", "sunset: 2027-06-29, ", "2:25: sunset comes before deprecated"},
		"its deprecation": {"sunset: 2027-06-30, ", "deprecated: 2027-07-01, ", "2:29: sunset comes before deprecated"},
		"a version":       {"deprecated: 2027-06-30, sunset: 2027-06-29, ", "", "1:49: sunset comes before deprecated"},
		"the same day":    {"deprecated: 2027-06-30, ", "sunset: 2027-06-30, ", ""},
	} {
		_, faults := Parse([]byte("versions: {v1: {"+c.version+"routes: {\n  GET /things: {"+c.route+"steps: [{call: things GET}]}}}}"), nil)
		assert.Equal(t, c.said, faults.String(), name)
	}
}

// A name in expressions has one meaning, and steps are known only to later steps.
func TestNamesOfStepsAreTheirOwn(t *testing.T) {
	t.Parallel()
	said := func(steps string) string {
		_, faults := Parse([]byte("versions: {v1: {routes: {POST /things: {steps: [{name: a, call: things GET}, "+steps+"]}}}}"), nil)
		return faults.String()
	}
	for _, name := range []string{"body", "path", "headers", "principal", "version", "a"} {
		const taken = "is taken; give the step another by name:"
		assert.Contains(t, said("{name: "+name+", call: things GET}"), `the name "`+name+`" `+taken)
		assert.Contains(t, said("{together: [{name: "+name+", call: things GET}]}"), `the name "`+name+`" `+taken)
	}
	assert.Contains(t, said("{together: [{name: b, call: things GET}, {name: b, call: things GET}]}"), `the name "b" is taken`)
	assert.Contains(t, said("{together: [{call: things GET}]}, {call: others GET}"), `the name "get" is taken`)
	for _, name := range []string{"nil", "let", "not", "in", "if", "true"} {
		assert.Contains(t, said("{name: "+name+", call: things GET}"), `step "`+name+`": expressions mean something else by that`)
	}
	assert.Contains(t, said("{name: b, when: b == 1, call: things GET}"), "b == 1: unknown name b")
	assert.Contains(t, said("{name: b, when: c == 1, call: things GET}, {name: c, call: things GET}"), "c == 1: unknown name c")
	assert.Empty(t, said("{name: query, call: things GET}, {name: map, call: things GET, args: [query.id, 'map(body.list, # + a.id)']}"))
}

// The key of a step's action is call.
func TestAskIsNoKeyOfAStep(t *testing.T) {
	t.Parallel()
	_, faults := Parse([]byte("versions: {v1: {routes: {GET /things: {steps: [{ask: things GET}]}}}}"), nil)
	assert.Equal(t, "1:47: no step calls a service\n1:48: a step has either call: or refuse:\n"+
		`1:49: a step has no "ask"; it may have name, call, args, when, refuse`, faults.String())
}
