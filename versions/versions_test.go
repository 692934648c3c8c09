package versions

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus/wire"
)

func shop(t *testing.T) *File {
	t.Helper()
	text, err := os.ReadFile("../examples/shop/versions.yaml")
	require.NoError(t, err)
	file, faults := Parse(text, nil)
	require.Empty(t, faults)
	return file
}

func TestShopsVersions(t *testing.T) {
	t.Parallel()
	var shown strings.Builder
	shop(t).Show(&shown, "v3")
	assert.Equal(t, `v3
└─ POST /payments  Pays through A or B for what is there, and redeems the voucher
   ├─ refuse 501 NOT_SUPPORTED  when body.gateway == "C"
   ├─ together
   │  ├─ user: users CHECK_PURCHASABLE(body.user_id)
   │  ├─ item: items CHECK_AVAILABLE(body.item_id)
   │  └─ voucher: vouchers CHECK_UNUSED(body.voucher)  when body.voucher != nil
   ├─ pay: payments PAY(body)
   └─ redeem: vouchers REDEEM_VOUCHER(body.voucher, {"payment_id": pay.id})  when body.voucher != nil
`, shown.String())
}

// Show joins the lines of a text. A route has its own dates if they differ from those of its
// version.
func TestTreeOfTextsAndDates(t *testing.T) {
	t.Parallel()
	file, faults := Parse([]byte(`versions:
  v1:
    deprecated: 2027-06-30
    routes:
      GET /things:
        summary: "All\n things"
        sunset: 2030-01-31
        steps:
          - call: things GET
            when: |
              1 == 1
              and 2 == 2
            args: ["[1,\n 2]"]
`), nil)
	require.Empty(t, faults)
	var shown strings.Builder
	file.Show(&shown, "")
	assert.Equal(t, "v1  (deprecated 2027-06-30)\n└─ GET /things  All things  (deprecated 2027-06-30, sunset 2030-01-31)\n   └─ get: things GET([1, 2])  when 1 == 1 and 2 == 2\n", shown.String())
}

// A plan that is parsed from its source is the same plan.
func TestPlanIsMadeAgainFromItsSource(t *testing.T) {
	t.Parallel()
	for _, v := range shop(t).Versions {
		for _, p := range v.Plans {
			again, err := ParsePlan(p.Source())
			require.NoError(t, err)
			assert.Equal(t, p.Hash(), again.Hash())
			assert.Equal(t, p.Name(), again.Name())
			assert.Len(t, again.Steps(), len(p.Steps()))
		}
	}
	_, err := ParsePlan([]byte(`{"versions":{}}`))
	require.Error(t, err)
	_, err = ParsePlan([]byte(`{`))
	require.Error(t, err)
}

// Parse reports all faults, each with its position.
func TestEveryFaultWithItsPlace(t *testing.T) {
	t.Parallel()
	_, faults := Parse([]byte(`versions:
  one:
    routes: {}
  v2:
    sunset: soon
    routs: {}
    routes:
      PAY /payments:
        steps: []
      GET /things/:id:
        path: {ID: {type: integer}}
        body: {type: object}
        timeout: never
        headers: [Authorization]
        steps:
          - call: things
          - name: thing
            call: things GET_THING
            args: [path.id + 1, path.name, later]
            when: path.id
          - together:
              - {name: a, call: things GET_A, args: [b]}
              - {name: b, call: things GET_B}
          - name: later
            call: compositions GET
          - refuse: {code: no, status: 200}
          - {}
        answer: nobody
      GET /things/:other:
        steps: [{name: later, call: things GET_LATER}]
      GET /others:
        query: {type: object, properties: {a: {$ref: "other.json"}}}
        steps:
          - {name: nil, call: things GET_NIL}
          - together: []
          - {name: let, call: things GET_LET, args: [nil]}
      GET /twice/:id/:id:
        <<: {}
        steps: [{call: things GET}]
      GET /a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a:
        headers: [Proxy-Authorization]
        steps: [{call: things GET}, {name: x, args: [], refuse: {code: NO, status: 400, message: no}}]
  v2: {}
---
versions: {}
`), nil)
	want := []string{
		`2:3: version "one"`, `5:13: sunset: want a date`, `6:5: a version has no "routs"`, `8:7: route "PAY /payments"`,
		`11:16: /things/:id has no parameter :ID`, `12:15: a GET has no body here`, `13:18: timeout "never"`, `14:19: header "Authorization"`,
		`16:19: call: want a service and an action`, `19:20: path.id + 1: invalid operation`, `19:33: path.name: unknown field`,
		`19:44: later: unknown name later`, `20:19: path.id: expected bool`, `22:54: b: unknown name b`, `25:19: call: want a service`,
		`26:21: refuse: want a code`, `26:21: refuse: want a message`, `26:21: refuse: want a status`, `27:13: a step has either`, `28:17: answer: there is no step "nobody"`,
		`9:16: no step calls a service`,
		`29:7: route GET /things/:other is the same`, `32:16: not a JSON schema: $ref "other.json" is not supported`,
		`34:13: step "nil": expressions mean something else by that`, `35:23: together: want a list of steps`, `36:13: step "let": expressions mean`,
		`34:11: no step calls a service`, `43:3: v2 is given twice`,
		`41:19: header "Proxy-Authorization"`, `42:44: a step that refuses calls no service: it has no name`, `42:53: a step that refuses calls no service: it has no args`,
		`37:7: /twice/:id/:id has the parameter :id twice`, `38:9: <<: is for schemas only`, `40:7: route "GET /a/a/`, `44:1: a second document`,
	}
	said := faults.String()
	assert.Len(t, faults, len(want))
	for _, w := range want {
		assert.Contains(t, said, w)
	}
	for _, text := range []string{"", "[]", "versions:\n  v1: [\n", "version: {}"} {
		file, faults := Parse([]byte(text), nil)
		assert.Nil(t, file, text)
		assert.True(t, faults.Fatal(), text)
	}
}

// asked answers steps by name, and records the calls.
type asked struct {
	mu      sync.Mutex
	steps   []string
	answers map[string]string
}

func (a *asked) ask(_ context.Context, s *Step, args string) (wire.Reply, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.steps = append(a.steps, s.Name+args)
	envelope, there := a.answers[s.Name]
	if !there {
		envelope = `{"ok":true,"result":{"id":7, "big": 1.0}}`
	}
	if envelope == "" {
		return wire.Reply{}, errors.New("no answer")
	}
	return wire.Reply{Meta: "status=201,location=%2F" + s.Name, Envelope: envelope}, nil
}

func pay(t *testing.T, body string, answers map[string]string) (*asked, Answer, error) {
	t.Helper()
	a := &asked{answers: answers}
	answer, err := shop(t).Find("v3").Plans[0].Run(t.Context(), Input{Args: "[" + body + "]"}, a.ask)
	return a, answer, err
}

func TestStepsRunInTheirOrder(t *testing.T) {
	t.Parallel()
	const body = `{"user_id":1,"item_id":2,"gateway":"A","amount":9007199254740993,"voucher":"X"}`
	a, answer, err := pay(t, body, nil)
	require.NoError(t, err)
	assert.Equal(t, `{"ok":true,"result":{"id":7, "big": 1.0}}`, answer.Envelope, "as the service wrote it")
	assert.Equal(t, 201, answer.Status)
	assert.Equal(t, "/pay", answer.Location)
	assert.ElementsMatch(t, []string{"user[1]", "item[2]", `voucher["X"]`}, a.steps[:3])
	assert.Equal(t, []string{"pay[" + body + "]", `redeem["X",{"payment_id":7}]`}, a.steps[3:])
	assert.Len(t, answer.Timings, 5)

	a, _, err = pay(t, `{"user_id":1,"item_id":2,"gateway":"A","amount":1}`, nil)
	require.NoError(t, err)
	assert.Len(t, a.steps, 3, "no voucher, neither checked nor redeemed")
}

func TestFirstFailureIsTheAnswer(t *testing.T) {
	t.Parallel()
	const body = `{"user_id":1,"item_id":2,"gateway":"A","amount":1}`
	const sold = `{"ok":false,"error":{"code":"ITEM_UNAVAILABLE","status":409}}`
	a, answer, err := pay(t, body, map[string]string{"item": sold})
	require.NoError(t, err)
	assert.Equal(t, sold, answer.Envelope)
	assert.Empty(t, answer.Location)
	assert.NotContains(t, strings.Join(a.steps, " "), "pay[")

	_, _, err = pay(t, body, map[string]string{"pay": ""})
	require.ErrorContains(t, err, "step pay: no answer")

	a, answer, err = pay(t, `{"user_id":1,"item_id":2,"gateway":"C","amount":1}`, nil)
	require.NoError(t, err)
	assert.Empty(t, a.steps)
	assert.EqualValues(t, "NOT_SUPPORTED", answer.Refusal.Code)
	assert.Equal(t, 501, answer.Refusal.Status)
}

// A step whose answer begins like a success, and is not JSON, must not count as one.
func TestForgedSuccessOfAStep(t *testing.T) {
	t.Parallel()
	const body = `{"user_id":1,"item_id":2,"gateway":"A","amount":1}`
	for _, forged := range []string{
		`{"ok":true,"result":{"paid":true},}`, `{"ok":true,"result":{"id":1}`, `{"ok":true,"result":1,"ok":false}`, `{"ok":true,"result":1}x`, `no`,
	} {
		for _, step := range []string{"user", "item", "pay"} {
			a, answer, err := pay(t, body, map[string]string{step: forged})
			require.NoError(t, err)
			assert.Equal(t, 500, answer.Status, "%s: %s", step, forged)
			assert.Empty(t, answer.Location)
			assert.Contains(t, answer.Envelope, `"code":"INTERNAL"`)
			assert.NotContains(t, answer.Envelope, `"ok":true`)
			if step != "pay" {
				assert.NotContains(t, strings.Join(a.steps, " "), "pay[")
			}
		}
	}
}

// Steps under together run at the same time: here each waits for the others.
func TestTogetherIsAtOnce(t *testing.T) {
	t.Parallel()
	var all sync.WaitGroup
	all.Add(3)
	_, err := shop(t).Find("v3").Plans[0].Run(t.Context(), Input{Args: `[{"user_id":1,"item_id":2,"gateway":"A","amount":1,"voucher":"X"}]`},
		func(_ context.Context, s *Step, _ string) (wire.Reply, error) {
			if s.Name == "user" || s.Name == "item" || s.Name == "voucher" {
				all.Done()
				all.Wait()
			}
			return wire.Reply{Envelope: `{"ok":true,"result":{"id":1}}`}, nil
		})
	require.NoError(t, err)
}

func TestExpressionsSpeakOfTheCall(t *testing.T) {
	t.Parallel()
	file, faults := Parse([]byte(`versions:
  v1:
    routes:
      GET /things/:id/:kind:
        path: {id: {type: integer}}
        query: {type: object, properties: {limit: {type: integer}}}
        headers: [X-Currency]
        steps:
          - {name: a, call: things GET, args: [path.id + 1]}
        result: '{"a": a.n * 2, "kind": path.kind, "limit": query.limit ?? 10, "currency": headers["x-currency"], "who": principal.subject, "version": version}'
`), nil)
	require.Empty(t, faults)
	a := &asked{answers: map[string]string{"a": `{"ok":true,"result":{"n":21}}`}}
	answer, err := file.Versions[0].Plans[0].Run(t.Context(), Input{
		Args: `[6,"red",{},{"x-currency":"EUR"}]`, Principal: &wire.Principal{Subject: "jwt:ada"},
	}, a.ask)
	require.NoError(t, err)
	assert.JSONEq(t, `{"ok":true,"result":{"a":42,"kind":"red","limit":10,"currency":"EUR","who":"jwt:ada","version":"v1"}}`, answer.Envelope)
	assert.Equal(t, []string{"a[7]"}, a.steps)

	a = &asked{answers: map[string]string{"a": `{"ok":true,"result":"no object"}`}}
	answer, err = file.Versions[0].Plans[0].Run(t.Context(), Input{Args: `[6,"red"]`}, a.ask)
	require.NoError(t, err)
	assert.Equal(t, 500, answer.Refusal.Status)
	assert.Contains(t, answer.Refusal.Message, "GET /v1/things/:id/:kind: result")
}

// Numbers that are too large to compute with are passed on unchanged. An expression that
// computes with them gets an error.
func TestNumbersOfAnySize(t *testing.T) {
	t.Parallel()
	file, faults := Parse([]byte(`versions:
  v1:
    routes:
      POST /things/:id:
        path: {id: {type: integer}}
        body: {type: object}
        steps:
          - {name: a, call: things GET, args: [path.id, body.n, '{"n": body.n, "of": [body.n]}']}
          - {name: b, call: things GET, when: body.n > 1}
        result: '{"n": a.n, "scopes": principal.scopes}'
`), nil)
	require.Empty(t, faults)
	for n, more := range map[string]bool{"9223372036854775807": true, "9223372036854775808": false, "-123456789012345678901234567890": false, "1e999": false, "2.5": true} {
		a := &asked{answers: map[string]string{"a": `{"ok":true,"result":{"n":` + n + `}}`}}
		answer, err := file.Versions[0].Plans[0].Run(t.Context(), Input{Args: `[` + n + `,{"n":` + n + `}]`}, a.ask)
		require.NoError(t, err)
		assert.Equal(t, `a[`+n+`,`+n+`,{"n":`+n+`,"of":[`+n+`]}]`, a.steps[0])
		if more {
			assert.Equal(t, `{"ok":true,"result":{"n":`+n+`,"scopes":[]}}`, answer.Envelope)
			continue
		}
		assert.Equal(t, 400, answer.Refusal.Status, n)
		assert.Contains(t, answer.Refusal.Message, "larger than")
	}
}

// A condition whose value is neither true nor false is an error.
func TestConditionsAreTrueOrFalse(t *testing.T) {
	t.Parallel()
	file, faults := Parse([]byte(`versions: {v1: {routes: {GET /things: {steps: [{name: a, call: things GET}, {when: a.stop, refuse: {code: STOP, status: 403, message: stop}}]}}}}`), nil)
	require.Empty(t, faults)
	for stop, want := range map[string]int{"true": 403, "false": 0, "null": 0, `"true"`: 500, "1": 500} {
		a := &asked{answers: map[string]string{"a": `{"ok":true,"result":{"stop":` + stop + `}}`}}
		answer, err := file.Versions[0].Plans[0].Run(t.Context(), Input{Args: `[]`}, a.ask)
		require.NoError(t, err)
		if want == 0 {
			assert.Nil(t, answer.Refusal, stop)
			continue
		}
		assert.Equal(t, want, answer.Refusal.Status, stop)
	}
}

// Whole numbers are integers in every notation, and the keys of maps become texts.
func TestExpressionsComputeWithWhatJSONSays(t *testing.T) {
	t.Parallel()
	file, faults := Parse([]byte(`versions:
  v1:
    routes:
      POST /things:
        body: {type: object, required: [n], properties: {n: {type: integer}}}
        steps: [{name: a, call: things GET, args: ['body.n == 4', 'body.n % 2', 'groupBy([1, 2, 3], # > 1)']}]
        result: '$env.version'
`), nil)
	require.Empty(t, faults)
	for _, n := range []string{"4", "4.0", "4e0"} {
		a := &asked{}
		answer, err := file.Versions[0].Plans[0].Run(t.Context(), Input{Args: `[{"n":` + n + `}]`}, a.ask)
		require.NoError(t, err)
		require.Nil(t, answer.Refusal, n)
		assert.Equal(t, []string{`a[true,0,{"false":[1],"true":[2,3]}]`}, a.steps, n)
		assert.Equal(t, `{"ok":true,"result":"v1"}`, answer.Envelope)
	}
}

// A composition that is resumed calls its steps with the same arguments: expressions cannot use
// functions whose value changes.
func TestExpressionsAreRepeatable(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"now()", "keys(body)", "values(body)", "toPairs(body)"} {
		_, faults := Parse([]byte(`versions: {v1: {routes: {POST /things: {steps: [{call: things GET, args: ["`+text+`"]}]}}}}`), nil)
		assert.True(t, faults.Fatal(), text)
	}
}

// Expressions that YAML reads as another type keep their text.
func TestTextsStayTexts(t *testing.T) {
	t.Parallel()
	file, faults := Parse([]byte(`versions:
  v1:
    routes:
      POST /things:
        body: {type: object, properties: {1: {enum: [2026-01-01]}}}
        steps: [{name: a, call: things GET, args: [0x10, 1_0]}]
`), nil)
	require.Empty(t, faults)
	p := file.Versions[0].Plans[0]
	assert.Contains(t, string(p.Args.Object.Schema), `"1":{"enum":["2026-01-01"]}`)
	again, err := ParsePlan(p.Source())
	require.NoError(t, err)
	for _, p := range []*Plan{p, again} {
		a := &asked{}
		_, err := p.Run(t.Context(), Input{Args: `[{}]`}, a.ask)
		require.NoError(t, err)
		assert.Equal(t, []string{"a[16,10]"}, a.steps)
	}
}
