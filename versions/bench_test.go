package versions

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus/wire"
)

// BenchmarkRun measures what the run of a plan adds to the calls of its steps.
func BenchmarkRun(b *testing.B) {
	const small = `{"ok":true,"result":{"id":1,"name":"Oska","email":"oska@example.com"}}`
	large := `{"ok":true,"result":{"id":1,"items":[` + strings.Repeat(`{"id":7,"name":"Oska","tags":["a","b"],"price":1.5},`, 160) + `{}]}}` // 8 KiB
	for name, c := range map[string]struct{ route, args, envelope string }{
		"one step":        {`"GET /x/:id": {path: {id: {type: integer}}, steps: [{name: echo, call: echo GET_ECHO, args: [path.id]}]}`, `[1]`, small},
		"one large":       {`"GET /x/:id": {path: {id: {type: integer}}, steps: [{name: echo, call: echo GET_ECHO, args: [path.id]}]}`, `[1]`, large},
		"passed on":       {`POST /x: {steps: [{name: first, call: echo A, args: [body]}, {name: then, call: echo B, args: [first]}]}`, `[{"user_id":1,"item_id":2,"voucher":"X"}]`, large},
		"fields":          {`POST /x: {steps: [{name: first, call: echo A, args: [body.user_id]}, {name: then, call: echo B, args: [body.item_id, first.id]}]}`, `[{"user_id":1,"item_id":2,"voucher":"X"}]`, small},
		"with conditions": {`POST /x: {steps: [{name: first, call: echo A, args: [body.user_id]}, {name: then, when: body.voucher != nil, call: echo B, args: ['{"id": first.id, "for": body.voucher}']}]}`, `[{"user_id":1,"item_id":2,"voucher":"X"}]`, small},
	} {
		b.Run(name, func(b *testing.B) {
			file, faults := Parse([]byte(`versions: {v1: {routes: {`+c.route+`}}}`), nil)
			require.Empty(b, faults)
			plan := file.Versions[0].Plans[0]
			reply := wire.Reply{Meta: "worker=echo.k2jx7mqa5zt4wv6e,attempt=1,queue=0.4,run=0.003", Envelope: c.envelope}
			call := func(context.Context, *Step, string) (wire.Reply, error) { return reply, nil }
			b.ReportAllocs()
			for b.Loop() {
				answer, err := plan.Run(b.Context(), Input{Args: c.args}, call)
				if err != nil || len(answer.Envelope) != len(reply.Envelope) {
					b.Fatal(err)
				}
			}
		})
	}
}
