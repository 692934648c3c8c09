package workers_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/workers"
)

type base struct {
	ID int64 `json:"id" description:"its number" example:"7"`
}

type pet struct {
	base

	Name   string          `json:"name" description:"how to call it" example:"42"`
	Tags   []string        `json:"tags,omitempty" example:"[\"a\",\"b\"]"`
	Friend *toy            `json:"friend,omitempty"`
	Toys   []toy           `json:"toys"`
	ByName map[string]toy  `json:"by_name" description:"the same, by name"`
	Left   json.RawMessage `json:"left,omitempty" example:"{\"any\":1}"`
	hidden string          `description:"nobody sees it"` //nolint:unused // that it is ignored is the test
}

type toy struct {
	Price int `json:"price" example:"12345678901234567"`
}

func manifestOf(t *testing.T, declare func(*workers.Service)) (*wire.Manifest, error) {
	t.Helper()
	s := workers.NewService("pets")
	declare(s)
	return s.Declare()
}

func TestTagsAndExamplesAreInTheManifest(t *testing.T) {
	t.Parallel()
	m, err := manifestOf(t, func(s *workers.Service) {
		workers.Handle2(s, "FEED", func(context.Context, int64, pet) (pet, error) { return pet{}, nil }, workers.Route("POST /pets/:id"),
			workers.Example(3, map[string]any{"id": 3, "name": "Rex", "toys": []any{}, "by_name": map[string]any{}}), workers.Example(4),
			workers.ExampleResult(pet{base: base{ID: 5}, Name: "Rex", Toys: []toy{}, ByName: map[string]toy{}}))
	})
	require.NoError(t, err)
	a := m.Actions[0]
	assert.JSONEq(t, `{"type":"integer","examples":[3,4]}`, string(a.Args[0].Schema))
	body := string(a.Args[1].Schema)
	for _, part := range []string{
		`"id":{"type":"integer","description":"its number","examples":[7]}`,
		`"name":{"type":"string","description":"how to call it","examples":["42"]}`,
		`"examples":[["a","b"]]`, `"price":{"type":"integer","examples":[12345678901234567]}`, `"description":"the same, by name"`,
		`"examples":[{"any":1}]`, `"examples":[{"by_name":{},"id":3,"name":"Rex","toys":[]}]`,
	} {
		assert.Contains(t, body, part)
	}
	assert.NotContains(t, body, "nobody")
	assert.Contains(t, string(a.Result), `"examples":[{"id":5,"name":"Rex","toys":[],"by_name":{}}]`)
}

func TestTagsOfARequestStruct(t *testing.T) {
	t.Parallel()
	type list struct {
		Owner int64  `path:"id" description:"the owner" example:"7"`
		Kind  string `query:"kind,omitempty" description:"which" example:"cat"`
	}
	m, err := manifestOf(t, func(s *workers.Service) {
		workers.Handle(s, "LIST", func(context.Context, list) (int, error) { return 0, nil }, workers.Route("GET /pets/:id"))
	})
	require.NoError(t, err)
	assert.JSONEq(t, `{"type":"integer","description":"the owner","examples":[7]}`, string(m.Actions[0].Args[0].Schema))
	assert.JSONEq(t, `{"type":"object","properties":{"kind":{"type":"string","description":"which","examples":["cat"]}},"additionalProperties":false}`, string(m.Actions[0].Args[1].Schema))
}

func TestExampleOfAnyValue(t *testing.T) {
	t.Parallel()
	m, err := manifestOf(t, func(s *workers.Service) {
		workers.Handle1(s, "ONE", func(context.Context, any) (any, error) { return nil, nil }, workers.Example([]int{1}), workers.ExampleResult(nil))
	})
	require.NoError(t, err)
	assert.JSONEq(t, `{"examples":[[1]]}`, string(m.Actions[0].Args[0].Schema))
	assert.JSONEq(t, `{"examples":[null]}`, string(m.Actions[0].Result))
}

func TestExamplesThatDoNotFit(t *testing.T) {
	t.Parallel()
	one := func(context.Context, int64) (int64, error) { return 0, nil }
	for problem, declare := range map[string]func(*workers.Service){
		`argument 0: the example "x" does not fit`: func(s *workers.Service) {
			workers.Handle1(s, "ONE", one, workers.Example("x"))
		},
		`an example has 2 arguments, the handler takes 1`: func(s *workers.Service) {
			workers.Handle1(s, "ONE", one, workers.Example(1, 2))
		},
		`result: the example "x" does not fit`: func(s *workers.Service) {
			workers.Handle1(s, "ONE", one, workers.ExampleResult("x"))
		},
		`result: json: unsupported type`: func(s *workers.Service) {
			workers.Handle1(s, "ONE", one, workers.ExampleResult(func() {}))
		},
		`argument 0: field Count of workers_test.wrong: the example "many" does not fit`: func(s *workers.Service) {
			workers.Handle1(s, "ONE", func(context.Context, wrong) (int, error) { return 0, nil })
		},
	} {
		_, err := manifestOf(t, declare)
		require.ErrorContains(t, err, problem)
	}
}

type wrong struct {
	Count int `json:"count" example:"many"`
}
