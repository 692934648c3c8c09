package consumer

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/testsupport"
)

// lab is a worker whose parts a test calls itself.
type lab struct {
	t        *testing.T
	conn     *bus.Conn
	w        *worker
	requests *requests
	suspects *suspects
	queued   []string // the entries of the requests
}

// newLab has some requests that were delivered to the worker "lost" so often.
func newLab(t *testing.T, deliveries ...int) *lab {
	t.Helper()
	conn, err := bus.Connect(testsupport.Miniredis(t), bus.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	c, err := New(conn, Config{
		Manifest: &wire.Manifest{Service: "things", Protocol: 1, Actions: []wire.Action{{Name: "DO"}}},
		Run:      func(context.Context, *Delivery) Outcome { return Done(wire.ReplyMeta{}, nil, 0) },
	})
	require.NoError(t, err)
	w := newWorker(c, func() {})
	w.join(t.Context())
	r := newRequests(w, newSlots(8))
	l := &lab{t: t, conn: conn, w: w, requests: r, suspects: &suspects{w: w, requests: r}}
	for range deliveries {
		entry, err := conn.Redis().XAdd(t.Context(), &redis.XAddArgs{
			Stream: w.mailbox, Values: []any{"v", "1", "id", uuid.NewString(), "action", "DO", "args", "[]"},
		}).Result()
		require.NoError(t, err)
		l.queued = append(l.queued, entry)
	}
	err = conn.Redis().XReadGroup(t.Context(), &redis.XReadGroupArgs{
		Group: wire.Group, Consumer: "lost", Streams: []string{w.mailbox, ">"},
	}).Err()
	require.NoError(t, err)
	for i, n := range deliveries {
		l.lose(l.queued[i], "lost", n)
	}
	return l
}

// lose makes an entry that of a lost worker.
func (l *lab) lose(entry, worker string, deliveries int) {
	l.t.Helper()
	require.NoError(l.t, l.conn.Redis().Do(l.t.Context(),
		"xclaim", l.w.mailbox, wire.Group, worker, 0, entry, "idle", time.Hour.Milliseconds(), "retrycount", deliveries, "justid").Err())
}

// take claims a suspect; nil: none.
func (l *lab) take() (*Delivery, bool) {
	l.t.Helper()
	l.suspects.list(slices.Clone(l.queued), false)
	d, alone, err := l.suspects.take(l.t.Context())
	require.NoError(l.t, err)
	return d, alone
}

func (l *lab) mark(entry string) string {
	l.t.Helper()
	mark, err := l.conn.Redis().HGet(l.t.Context(), strings.TrimSuffix(l.w.mailbox, "requests")+"trials", entry).Result()
	if err != nil {
		require.ErrorIs(l.t, err, redis.Nil)
	}
	return mark
}

func TestSuspectsThatRunAloneComeLast(t *testing.T) {
	t.Parallel()
	l := newLab(t, 3, 1, 2)
	first, alone := l.take()
	assert.Equal(t, l.queued[2], first.Entry, "the newest comes first")
	assert.Equal(t, 3, first.Attempt)
	assert.False(t, alone)
	assert.Equal(t, l.w.id+" trial ", l.mark(first.Entry))
	second, alone := l.take()
	assert.Equal(t, l.queued[1], second.Entry)
	assert.Equal(t, 2, second.Attempt)
	assert.False(t, alone)
	l.suspects.nextAlone = time.Now().Add(time.Hour)
	d, _ := l.take()
	assert.Nil(t, d, "the worker has to run other requests first")
	l.suspects.nextAlone = time.Time{}
	third, alone := l.take()
	assert.Equal(t, l.queued[0], third.Entry)
	assert.Equal(t, 4, third.Attempt)
	assert.True(t, alone, "it is the last but one delivery")
}

func TestTrialAccusesItsRequest(t *testing.T) {
	t.Parallel()
	l := newLab(t, 1)
	d, _ := l.take()
	l.suspects.trial = d.trial
	d.trial.end(true)
	require.NoError(t, l.suspects.finish(t.Context()))
	assert.NotEmpty(t, l.mark(d.Entry), "the process of its run is dead")
	l.lose(d.Entry, l.w.id, 2)
	d, alone := l.take()
	assert.True(t, alone)
	assert.Equal(t, 3, d.Attempt)
	assert.Equal(t, "; nothing ran beside it when worker "+l.w.id+" was lost", d.trial.reason())
	assert.Equal(t, l.w.id+" waits ", l.mark(d.Entry))

	l.lose(d.Entry, "lost", 3)
	d, alone = l.take()
	assert.True(t, alone)
	assert.Equal(t, 3, d.Attempt, "it was lost before it began")
	begun, err := l.suspects.call(t.Context(), "begin", d.Entry, "a,b")
	require.NoError(t, err)
	assert.EqualValues(t, 1, begun)
	assert.Equal(t, l.w.id+" alone a,b", l.mark(d.Entry))
	assert.Equal(t, "; beside it ran a, b when worker w was lost", describeMark("w alone a,b"))

	l.suspects.trial = &trial{entry: d.Entry, over: make(chan struct{})}
	require.NoError(t, l.suspects.finish(t.Context()))
	assert.Empty(t, l.mark(d.Entry), "it has run for the whole trial")
}

func TestMarksOfOtherWorkersStay(t *testing.T) {
	t.Parallel()
	l := newLab(t, 1)
	d, _ := l.take()
	l.lose(d.Entry, "other", 2)
	begun, err := l.suspects.call(t.Context(), "begin", d.Entry, "")
	require.NoError(t, err)
	assert.EqualValues(t, 0, begun, "the worker does not own it")
	key := strings.TrimSuffix(l.w.mailbox, "requests") + "trials"
	require.NoError(t, l.conn.Redis().HSet(t.Context(), key, d.Entry, "other trial ").Err())
	l.suspects.trial = &trial{entry: d.Entry, over: make(chan struct{})}
	require.NoError(t, l.suspects.finish(t.Context()))
	assert.Equal(t, "other trial ", l.mark(d.Entry))
}

// A request whose handler ended without an outcome is no suspect.
func TestRequestsWithoutAnOutcomeAreNoSuspects(t *testing.T) {
	t.Parallel()
	l := newLab(t, 1)
	l.lose(l.queued[0], l.w.id, 1)
	r := newRunner(l.w, l.requests, newSettler(l.w, l.requests, nil))
	r.release(t.Context(), &Delivery{Entry: l.queued[0]}, 0, 0, 1)
	pending, err := l.conn.Redis().XPendingExt(t.Context(), &redis.XPendingExtArgs{
		Stream: l.w.mailbox, Group: wire.Group, Start: "-", End: "+", Count: 10,
	}).Result()
	require.NoError(t, err)
	require.Len(t, pending, 1)
	assert.Equal(t, givenBack, pending[0].Consumer)
	assert.Equal(t, int64(1), pending[0].RetryCount, fmt.Sprint(pending))
}
