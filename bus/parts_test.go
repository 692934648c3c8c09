package bus

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseURL(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"redis://localhost":                            "redis://localhost:6379",
		"redis://user:secret@localhost:7000/2":         "redis://localhost:7000",
		"rediss://:secret@redis.example:6380":          "rediss://redis.example:6380",
		"redis://[::1]:6379":                           "redis://[::1]:6379",
		"redis+cluster://h1:7001,h2:7002,h3":           "redis+cluster://h1:7001,h2:7002,h3:6379",
		"redis+sentinel://u:p%40ss@h1,h2:26380/master": "redis+sentinel://h1:26379,h2:26380/master",
	} {
		got, err := parseURL(url)
		require.NoError(t, err, url)
		assert.Equal(t, want, got.String(), url)
	}
	got, err := parseURL("redis+sentinel://u:p%40ss@h1/master")
	require.NoError(t, err)
	assert.Equal(t, "p@ss", got.options.Password)
	assert.Equal(t, "u", got.options.Username)
}

func TestParseURLRefusesWithoutShowingThePassword(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"localhost:6379", "http://u:secret@h", "redis://", "redis://u:secret@", "redis://u:secret@h:0", "redis://u:secret@h:x",
		"redis://u:secret@h1,h2", "redis://u:secret@h/db", "redis://u:secret%zz@h", "redis+sentinel://u:secret@h",
		"redis+cluster://u:secret@h/1", "redis://u:secret@h?password=secret",
	} {
		_, err := Connect(url, Options{})
		require.Error(t, err, url)
		assert.NotContains(t, err.Error(), "secret", url)
	}
}

func TestClockFollowsRedis(t *testing.T) {
	t.Parallel()
	local := time.UnixMilli(1_000_000)
	c := &Clock{local: func() time.Time { return local }}
	c.Adjust(local, local.Add(20*time.Millisecond), local.Add(time.Hour))
	assert.Equal(t, time.Hour-10*time.Millisecond, c.Offset())
	assert.Equal(t, local.Add(time.Hour-10*time.Millisecond), c.Now())
	c.Adjust(local, local.Add(time.Second), local.Add(time.Hour+100*time.Millisecond))
	assert.Equal(t, time.Hour-10*time.Millisecond, c.Offset(), "a slow look says little")
	c.Adjust(local, local.Add(time.Second), local.Add(2*time.Hour))
	assert.Equal(t, 2*time.Hour-500*time.Millisecond, c.Offset(), "unless it cannot be so")
	c.Adjust(local, local, local.Add(-time.Minute))
	assert.Equal(t, -time.Minute, c.Offset())
}

func TestWaiterIsWokenOnceAndByItsServiceOnly(t *testing.T) {
	t.Parallel()
	table := newWaiters()
	id := uuid.New()
	w := newWaiter()
	w.begin("users", &Request{})
	table.add(id, w)
	table.wake(id, "items", Reply{})
	assert.Empty(t, w.wake)
	table.wake(id, "users", Reply{})
	table.wake(id, "users", Reply{})
	assert.Len(t, w.wake, 1)
	assert.False(t, table.remove(id, w), "it has been taken already")
	next := newWaiter()
	next.begin("users", &Request{})
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
		w.begin("users", &Request{})
		change(w)
		table.add(id, w)
		return w
	}
	reply := Reply{Meta: "status=200,entry=1-1", Envelope: "{}"}
	known := wait(func(w *waiter) { w.shared = true })
	same := wait(func(w *waiter) { w.shared = true })
	other := wait(func(w *waiter) { w.shared = true })
	watching := wait(func(w *waiter) { w.watching = true })
	sending := wait(func(w *waiter) { w.shared, w.sending = true, true })
	table.written(id, known.request, "1-1")
	table.written(id, sending.request, "1-1")
	assert.Len(t, sending.wake, 1, "it only wanted to be accepted")
	table.wake(id, "users", Reply{Meta: "entry=0-9", Envelope: "{}"})
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
	request := &Request{}
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

func TestSlotsWaitForOne(t *testing.T) {
	t.Parallel()
	s := newSlots(2)
	n, err := s.await(t.Context())
	require.NoError(t, err)
	require.Equal(t, 2, n)
	s.take(2)
	free := make(chan int)
	go func() {
		n, _ := s.await(t.Context())
		free <- n
	}()
	s.give(1)
	assert.Equal(t, 1, <-free)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.take(1)
	_, err = s.await(ctx)
	require.ErrorIs(t, err, context.Canceled)
}

func TestAppendMillis(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0: "0", -time.Second: "0", 999: "0", time.Microsecond: "0.001", 42 * time.Microsecond: "0.042", 1500 * time.Microsecond: "1.5",
		12*time.Second + 340*time.Microsecond: "12000.34", 70 * time.Millisecond: "70",
	} {
		assert.Equal(t, want, string(AppendMillis(nil, d)))
	}
}

func TestConsumerConfigNamesEveryFault(t *testing.T) {
	t.Parallel()
	conn, err := Connect("redis://127.0.0.1:1", Options{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	_, err = NewConsumer(conn, ConsumerConfig{
		Manifest: &Manifest{Service: "users"}, Concurrency: -1, IdleLimit: time.Millisecond, Heartbeat: 2 * time.Second, MaxAttempts: -1,
	})
	for _, name := range []string{"concurrency", "idle limit", "heartbeat", "max attempts"} {
		require.ErrorContains(t, err, name)
	}
	_, err = NewConsumer(conn, ConsumerConfig{Manifest: &Manifest{Service: "v2"}})
	require.ErrorContains(t, err, "reserved")
}

func TestBehindAnEntry(t *testing.T) {
	t.Parallel()
	for entry, want := range map[string]string{
		"1732000000000-0":                    "1732000000000-1",
		"1732000000000-9":                    "1732000000000-10",
		"1732000000000-18446744073709551615": "1732000000001-0",
		"-":                                  "-",
	} {
		assert.Equal(t, want, behind(entry))
	}
}
