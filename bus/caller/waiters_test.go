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
	w.begin("users", &wire.Request{}, purpose{})
	table.add(id, w)
	table.wake(id, "items", wire.Reply{})
	assert.Empty(t, w.wake)
	table.wake(id, "users", wire.Reply{})
	table.wake(id, "users", wire.Reply{})
	assert.Len(t, w.wake, 1)
	assert.False(t, table.remove(id, w), "it has been taken already")
	next := newWaiter()
	next.begin("users", &wire.Request{}, purpose{})
	table.add(id, next)
	assert.False(t, table.remove(id, w), "another waiter has its ID")
	assert.True(t, table.remove(id, next))
}

// Waiters with one ID get a reply only once it is known that it answers their request.
func TestWaitersShareAnID(t *testing.T) {
	t.Parallel()
	table := newWaiters()
	id := uuid.New()
	wait := func(change func(*waiter)) *waiter {
		w := newWaiter()
		w.begin("users", &wire.Request{}, purpose{})
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
	assert.Len(t, sending.wake, 1, "it waited only for acceptance")
	table.wake(id, "users", wire.Reply{Meta: "entry=0-9", Envelope: "{}"})
	assert.Empty(t, known.wake, "the reply is of an earlier run")
	table.wake(id, "users", reply)
	assert.Equal(t, reply, (<-known.wake).reply)
	assert.NotEmpty(t, (<-watching.wake).reply, "a watcher reads the record")
	assert.Empty(t, same.wake, "its request may be another")
	table.written(id, same.request, "1-1")
	assert.Equal(t, reply, (<-same.wake).reply)
	table.end(id, other.request, result{err: ErrKeyReused})
	r := <-other.wake
	require.ErrorIs(t, r.err, ErrKeyReused)
	assert.Empty(t, r.reply)
	assert.Empty(t, table.shards[shardOf(id)].byID)
}

func TestOverdueWaitersAreCheckedLessAndLess(t *testing.T) {
	t.Parallel()
	table := newWaiters()
	start := time.Now()
	id := uuid.New()
	w := newWaiter()
	request := &wire.Request{}
	w.begin("users", request, purpose{})
	w.nextCheck = start.Add(firstCheck)
	table.add(id, w)
	at := func(d time.Duration) int { return len(table.overdue(start.Add(d), false)) }
	assert.Zero(t, at(time.Hour), "not written yet: nothing can be lost")
	assert.Empty(t, table.overdue(start, true))
	table.written(id, request, "1-1")
	assert.Zero(t, at(firstCheck-1))
	assert.Equal(t, 1, at(firstCheck))
	assert.Zero(t, at(2*firstCheck))
	assert.Equal(t, 1, at(3*firstCheck))
	assert.Len(t, table.overdue(start.Add(3*firstCheck), true), 1, "after a new subscription all are due")
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
