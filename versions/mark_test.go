package versions

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A run does not decode values that no expression computes with; the answers are the same.
func TestWhatIsOnlyPassedOn(t *testing.T) {
	t.Parallel()
	const shout = `{"ok":true,"result":{"n": 1.50}}`
	for name, c := range map[string]struct {
		steps, args string
		answers     map[string]string
		asked       []string
		envelope    string
	}{
		"parameters": {
			steps: `[{name: a, call: things GET, args: [path.id, path.kind]}]`, args: `[6,"r\u00e9d"]`,
			asked: []string{`a[6,"r\u00e9d"]`},
		},
		"numbers": {steps: `[{name: a, call: things GET, args: [path.kind, path.id]}]`, args: `[6,7]`, asked: []string{`a[7,6]`}},
		"a result": {
			steps: `[{name: pay, call: things GET, args: [path.id]}, {name: payment, call: things GET, args: [pay]}, {name: last, call: things GET, args: [payment]}]`,
			args:  `[6,7]`, answers: map[string]string{"pay": shout, "payment": shout},
			asked: []string{`pay[6]`, `payment[{"n": 1.50}]`, `last[{"n": 1.50}]`},
		},
		"a condition": {
			steps: `[{name: open, call: things GET}, {name: a, call: things GET, when: open == true}]`, args: `[6,7]`,
			answers: map[string]string{"open": `{"ok":true,"result":true}`}, asked: []string{"open[]", "a[]"},
		},
		"a condition that does not hold": {
			steps: `[{name: open, call: things GET}, {name: a, call: things GET, when: open == true}]`, args: `[6,7]`,
			answers: map[string]string{"open": `{"ok":true,"result":false}`}, asked: []string{"open[]"}, envelope: `{"ok":true,"result":null}`,
		},
		"by another name": {
			steps: `[{name: part, call: things GET, args: ['$env["pa" + "th"].id']}, {call: things GET, args: ['$env["pa" + "rt"].id']}]`, args: `[6,7]`,
			asked: []string{`part[6]`, `get[7]`},
		},
		"a failure": {
			steps: `[{name: a, call: things GET}]`, args: `[6,7]`, answers: map[string]string{"a": `{"ok":false,"error":{}}`},
			asked: []string{"a[]"}, envelope: `{"ok":false,"error":{}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file, faults := Parse([]byte(`versions: {v1: {routes: {"GET /things/:id/:kind": {path: {id: {type: integer}}, steps: `+c.steps+`}}}}`), nil)
			require.Empty(t, faults)
			a := &asked{answers: c.answers}
			answer, err := file.Versions[0].Plans[0].Run(t.Context(), Input{Args: c.args}, a.ask)
			require.NoError(t, err)
			assert.Equal(t, c.asked, a.steps)
			if c.envelope == "" {
				c.envelope = `{"ok":true,"result":{"id":7, "big": 1.0}}`
			}
			assert.Equal(t, c.envelope, answer.Envelope)
		})
	}
}

func TestElements(t *testing.T) {
	t.Parallel()
	for array, want := range map[string]int{`[]`: 0, `[1]`: 1, `[1,22]`: 2, `["a,b",[1,2],{"c":3}]`: 3, `[-1,2.5]`: 2} {
		list, err := elements(array)
		require.NoError(t, err)
		assert.Len(t, list, want, array)
	}
	for _, array := range []string{``, `[`, `1`, `{}`, `[a]`} {
		_, err := elements(array)
		require.Error(t, err, array)
	}
}
