package caller

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/wire"
)

func TestFlowIsKnownOnlyWhileMoreWaitsThanIsWorkedOn(t *testing.T) {
	t.Parallel()
	began := time.Now()
	at := func(s float64) time.Time { return began.Add(time.Duration(s * float64(time.Second))) }
	var f flow
	assert.Zero(t, f.perSecond(at(0)), "nothing was measured yet")
	f.add(sample{at: at(0), ended: 1000, unread: 500, pending: 64})
	assert.Zero(t, f.perSecond(at(0)), "one look is no rate")
	f.add(sample{at: at(1), ended: 1100, unread: 500, pending: 60})
	assert.InDelta(t, 100, f.perSecond(at(1)), 0.1)
	assert.EqualValues(t, 60, f.pending())
	f.add(sample{at: at(2), ended: 1400, unread: 500, pending: 64})
	assert.InDelta(t, 300, f.perSecond(at(2)), 0.1, "workers have come")
	f.add(sample{at: at(3), ended: 1400, unread: 500, pending: 64})
	assert.InDelta(t, 133.3, f.perSecond(at(3)), 0.1, "a moment without an end is no end of all")
	assert.Zero(t, f.perSecond(at(9)), "that is long ago")
	f.add(sample{at: at(12), ended: 2300, unread: 500, pending: 64})
	assert.InDelta(t, 100, f.perSecond(at(12)), 0.1, "of the last ten seconds")
	f.add(sample{at: at(13), ended: 2800, unread: 0, pending: 5})
	f.add(sample{at: at(14), ended: 2801, unread: 1, pending: 64})
	assert.Zero(t, f.perSecond(at(14)), "workers had nothing to do in between")
}

func TestAdmissionGoesByDeadlineAndLimit(t *testing.T) {
	t.Parallel()
	conn, err := bus.Connect("redis://127.0.0.1:1", bus.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	within := func(s time.Duration) *wire.Request {
		return &wire.Request{Deadline: conn.Clock.Millis() + (s * time.Second).Milliseconds()}
	}
	a := newAdmission(conn, 10_000, defaultLaneLimit, false, noLimits)
	assert.EqualValues(t, 10_000, a.limitOf("things", within(1)), "no flow is known")
	now := time.Now()
	a.of("things").flow.add(sample{at: now.Add(-time.Second), ended: 0, unread: 900, pending: 64})
	a.of("things").flow.add(sample{at: now, ended: 100, unread: 800, pending: 64})
	assert.InDelta(t, 264, a.limitOf("things", within(2)), 2, "what ends in 2 s, and what is worked on")
	assert.EqualValues(t, 10_000, a.limitOf("things", within(1000)))
	assert.EqualValues(t, 10_000, a.limitOf("things", &wire.Request{}), "no deadline")
	assert.EqualValues(t, 10_000, a.limitOf("others", within(2)))
	assert.Positive(t, a.limitOf("things", within(-5)))

	over := func(waiting, limit int64) *OverloadedError {
		var e *OverloadedError
		require.ErrorAs(t, a.overloaded("things", waiting, limit), &e)
		require.ErrorIs(t, e, ErrOverloaded)
		return e
	}
	late := over(1264, 264)
	assert.True(t, late.Late)
	assert.InDelta(t, 10.26, late.RetryAfter.Seconds(), 0.1, "1264-238 requests at 100 a second")
	full := over(10_000, 10_000)
	assert.False(t, full.Late)
	assert.InDelta(t, 10, full.RetryAfter.Seconds(), 0.1, "until a tenth is free")
	assert.Equal(t, time.Minute, over(20_000, 264).RetryAfter, "no longer than that")
	assert.Equal(t, time.Second, over(264, 264).RetryAfter, "no shorter than that")

	a = newAdmission(conn, 10_000, defaultLaneLimit, true, noLimits)
	a.of("things").flow.add(sample{at: now.Add(-time.Second), ended: 0, unread: 900})
	a.of("things").flow.add(sample{at: now, ended: 100, unread: 800})
	assert.EqualValues(t, 10_000, a.limitOf("things", within(2)), "it is told to take them")
}
