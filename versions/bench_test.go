package versions

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus"
)

// BenchmarkOneStep is all that a composition of one step adds to the step.
func BenchmarkOneStep(b *testing.B) {
	file, faults := Parse([]byte(`versions: {v1: {routes: {"GET /echo/:id": {path: {id: {type: integer}}, steps: [{name: echo, call: echo GET_ECHO, args: [path.id]}]}}}}`), nil)
	require.Empty(b, faults)
	plan := file.Versions[0].Plans[0]
	reply := bus.Reply{Meta: "worker=echo.k2jx7mqa5zt4wv6e,attempt=1,queue=0.4,run=0.003", Envelope: `{"ok":true,"result":{"id":1,"name":"Oska","email":"oska@example.com"}}`}
	ask := func(context.Context, *Step, string) (bus.Reply, error) { return reply, nil }
	b.ReportAllocs()
	for b.Loop() {
		answer, err := plan.Run(b.Context(), Input{Args: "[1]"}, ask)
		if err != nil || len(answer.Envelope) != len(reply.Envelope) {
			b.Fatal(err)
		}
	}
}
