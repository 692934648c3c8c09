package caller

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus/wire"
)

func TestWaiterIsWokenOnceAndByItsServiceOnly(t *testing.T) {
	t.Parallel()
	table := newWaiters()
	id := uuid.New()
	w := newWaiter()
	w.begin("users", &wire.Request{})
	table.add(id, w)
	table.wake(id, "items", wire.Reply{})
	assert.Empty(t, w.wake)
	table.wake(id, "users", wire.Reply{})
	table.wake(id, "users", wire.Reply{})
	assert.Len(t, w.wake, 1)
	assert.False(t, table.remove(id, w), "it has been taken already")
	next := newWaiter()
	next.begin("users", &wire.Request{})
	table.add(id, next)
	assert.False(t, table.remove(id, w), "another waits under its ID")
	assert.True(t, table.remove(id, next))
}

// Of those who wait under one ID each gets what is for it: a reply only once it
// is known that it answers the same request.
func TestWaitersShareAnID(t *testing.T) {
	t.Parallel()
	table := newWaiters()
	id := uuid.New()
	wait := func(change func(*waiter)) *waiter {
		w := newWaiter()
		w.begin("users", &wire.Request{})
		change(w)
		table.add(id, w)
		return w
	}
	reply := wire.Reply{Meta: "status=200,entry=1-1", Envelope: "{}"}
	known := wait(func(w *waiter) { w.shared = true })
	same := wait(func(w *waiter) { w.shared = true })
	other := wait(func(w *waiter) { w.shared = true })
	watching := wait(func(w *waiter) { w.watching = true })
	sending := wait(func(w *waiter) { w.shared, w.sending = true, true })
	table.written(id, known.request, "1-1")
	table.written(id, sending.request, "1-1")
	assert.Len(t, sending.wake, 1, "it only wanted to be accepted")
	table.wake(id, "users", wire.Reply{Meta: "entry=0-9", Envelope: "{}"})
	assert.Empty(t, known.wake, "it is of an earlier run")
	table.wake(id, "users", reply)
	assert.Equal(t, reply, (<-known.wake).reply)
	assert.NotEmpty(t, (<-watching.wake).reply, "who watches looks at the record")
	assert.Empty(t, same.wake, "it may ask something else")
	table.written(id, same.request, "1-1")
	assert.Equal(t, reply, (<-same.wake).reply)
	table.end(id, other.request, result{err: ErrKeyReused})
	r := <-other.wake
	require.ErrorIs(t, r.err, ErrKeyReused)
	assert.Empty(t, r.reply)
	assert.Empty(t, table.shards[shardOf(id)].byID)
}

func TestOverdueWaitersAreLookedAtLessAndLess(t *testing.T) {
	t.Parallel()
	table := newWaiters()
	start := time.Now()
	id := uuid.New()
	w := newWaiter()
	request := &wire.Request{}
	w.begin("users", request)
	w.nextLook = start.Add(firstLook)
	table.add(id, w)
	at := func(d time.Duration) int { return len(table.overdue(start.Add(d), false)) }
	assert.Zero(t, at(time.Hour), "not written yet: there is nothing to look for")
	assert.Empty(t, table.overdue(start, true))
	table.written(id, request, "1-1")
	assert.Zero(t, at(firstLook-1))
	assert.Equal(t, 1, at(firstLook))
	assert.Zero(t, at(2*firstLook))
	assert.Equal(t, 1, at(3*firstLook))
	assert.Len(t, table.overdue(start.Add(3*firstLook), true), 1, "after a new subscription everybody is")
}

// BenchmarkWaiters registers a waiter and wakes it, on all processors at once.
func BenchmarkWaiters(b *testing.B) {
	table := newWaiters()
	r := wire.Reply{Meta: "-", Envelope: `{"ok":true,"result":{"id":1}}`}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		w := newWaiter()
		w.service = "echo"
		id := uuid.New()
		for n := byte(0); pb.Next(); n++ {
			id[15] = n
			table.add(id, w)
			table.wake(id, "echo", r)
			<-w.wake
		}
	})
}
