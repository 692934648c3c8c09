package versions

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus/wire"
)

// Every text has faults with a position, or plans that can be parsed from their sources, shown,
// checked and run.
func FuzzParse(f *testing.F) {
	text, err := os.ReadFile("../examples/shop/versions.yaml")
	require.NoError(f, err)
	f.Add(string(text), "{}")
	for _, route := range []string{
		`GET /things/:id: {path: {id: {type: integer}}, headers: [X-A], steps: [{call: things GET, args: [path.id]}], result: 'get.id + 1'}`,
		`PUT /things/:id: {timeout: 1s, sunset: 2030-01-01, steps: [{name: a, call: things PUT, args: [path.id, 'body.x ?? {}'], when: body.n > 1}]}`,
		`POST /x: &x {body: {type: object, properties: {a: {$ref: '#/$defs/A'}}, $defs: {A: {type: string}}}, steps: [{together: [{call: things ORDER, args: [$env]}]}], answer: order}`,
		`GET /y: {query: {<<: {type: object}}, steps: [{refuse: {code: NO, status: 400, message: no}, when: query == 1e400}, {call: things GET, args: ['0x1F']}]}`,
	} {
		f.Add("versions:\n  v1:\n    routes:\n      "+route+"\n", `{"n":1e30,"x":[1.0,{"":null}]}`)
	}
	answers := func(context.Context, *Step, string) (wire.Reply, error) {
		return wire.Reply{Envelope: `{"ok":true,"result":{"id":1}}`}, nil
	}
	f.Fuzz(func(t *testing.T, text, object string) {
		file, faults := Parse([]byte(text), services())
		for _, fault := range faults {
			assert.Positive(t, fault.Line)
			assert.LessOrEqual(t, fault.Line, strings.Count(strings.ReplaceAll(text, "\r", "\n"), "\n")+2, fault) // a missing part is reported behind the end
			assert.Positive(t, fault.Column)
		}
		if file == nil {
			assert.True(t, faults.Fatal())
			return
		}
		var shown strings.Builder
		file.Show(&shown, "")
		for _, v := range file.Versions {
			for _, p := range v.Plans {
				again, err := ParsePlan(p.Source())
				require.NoError(t, err, "%s", p.Source())
				assert.Equal(t, p.Hash(), again.Hash())
				_, err = again.Run(t.Context(), Input{Args: "[" + strings.Repeat("1,", len(p.Args.Parameters)) + object + "]"}, answers)
				require.NoError(t, err)
			}
		}
	})
}
