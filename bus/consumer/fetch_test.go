package consumer

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/testsupport"
)

// The watch saw a run twice, and before it came to act on that the run ended: two would
// read then.
func TestNobodyIsRelievedWhoIsBack(t *testing.T) {
	t.Parallel()
	conn, err := bus.Connect(testsupport.Miniredis(t), bus.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	c, err := New(conn, Config{
		Manifest: &wire.Manifest{Service: "things", Protocol: 1, Actions: []wire.Action{{Name: "DO"}}},
		Run:      func(context.Context, *Delivery) Outcome { return Done(wire.ReplyMeta{}, nil, 0) },
	})
	require.NoError(t, err)
	f := newFetcher(c, t.Context())
	f.watched = true
	f.queue = []*Delivery{{Request: wire.Request{Action: "DO"}}, {Request: wire.Request{Action: "DO"}}}
	require.NotNil(t, f.next())
	seen := f.runs
	require.True(t, f.back(0, nil))
	f.relieve(t.Context(), 0, seen)
	assert.Zero(t, f.turn, "it reads on itself")
	require.NotNil(t, f.next())
	f.relieve(t.Context(), 0, seen)
	assert.Zero(t, f.turn, "that is another run")
	require.True(t, f.back(0, nil))
}

func TestPaceIsQuickWhileRunsAre(t *testing.T) {
	t.Parallel()
	var p *pace
	assert.False(t, p.isQuick(), "of an action that nobody declared")
	p = &pace{}
	quick := func(n int) {
		for range n {
			p.note(quickRun)
		}
	}
	quick(quickScore - 1)
	assert.False(t, p.isQuick())
	quick(1)
	assert.True(t, p.isQuick())
	quick(maxScore)
	p.note(2 * quickRun)
	assert.True(t, p.isQuick(), "one hiccup of many runs")
	p.note(2 * quickRun)
	assert.False(t, p.isQuick())
	quick(maxScore)
	p.note(11 * quickRun)
	assert.False(t, p.isQuick())
}
