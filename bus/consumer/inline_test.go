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

// The monitor saw a run twice, and the run ended before the monitor acted on that: two
// goroutines would read then.
func TestReaderStaysWhenItsRunHasReturned(t *testing.T) {
	t.Parallel()
	conn, err := bus.Connect(testsupport.Miniredis(t), bus.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	c, err := New(conn, Config{
		Manifest: &wire.Manifest{Service: "things", Protocol: 1, Actions: []wire.Action{{Name: "DO"}}},
		Run:      func(context.Context, *Delivery) Outcome { return Done(wire.ReplyMeta{}, nil, 0) },
	})
	require.NoError(t, err)
	w := newWorker(c, func() {})
	requests := newRequests(w, newSlots(1))
	runner := newRunner(w, requests, newSettler(w, requests, nil))
	in := newFetcher(w, requests, runner, newPool(runner.deliver)).inline
	resume := func(int) { t.Error("another goroutine reads") }
	in.monitored = true
	in.queue = []*Delivery{{Request: wire.Request{Action: "DO"}}, {Request: wire.Request{Action: "DO"}}}
	require.NotNil(t, in.next())
	seen := in.runs
	require.True(t, in.returned(0, nil))
	in.handOver(0, seen, resume)
	assert.Zero(t, in.reader, "the reader stays")
	require.NotNil(t, in.next())
	in.handOver(0, seen, resume)
	assert.Zero(t, in.reader, "that is another run")
	require.True(t, in.returned(0, nil))
}

func TestActionIsFastWhileItsRunsAre(t *testing.T) {
	t.Parallel()
	f := newFastActions(&wire.Manifest{Actions: []wire.Action{{Name: "DO"}}})
	f.note("OTHER", fastRun)
	f.reset("OTHER")
	assert.False(t, f.isFast("OTHER"), "of an action that nobody declared")
	fast := func(n int) {
		for range n {
			f.note("DO", fastRun)
		}
	}
	fast(fastScore - 1)
	assert.False(t, f.isFast("DO"))
	fast(1)
	assert.True(t, f.isFast("DO"))
	fast(maxScore)
	f.note("DO", 2*fastRun)
	assert.True(t, f.isFast("DO"), "one slow run of many")
	f.note("DO", 2*fastRun)
	assert.False(t, f.isFast("DO"))
	fast(maxScore)
	f.note("DO", 11*fastRun)
	assert.False(t, f.isFast("DO"))
	fast(maxScore)
	f.reset("DO")
	assert.False(t, f.isFast("DO"))
}
