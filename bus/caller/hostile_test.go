package caller

import (
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/testsupport"
)

// allocated returns how many bytes a function allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// A service may store outcomes of any size: they are not read.
func TestOutcomesOverTheLimitAreNotRead(t *testing.T) { //nolint:paralleltest // it measures what the process allocates
	conn, err := bus.Connect(testsupport.StartRedis(t).URL(), bus.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	id := uuid.New()
	request := &wire.Request{ID: id.String(), Action: "PAY", Args: "[]", Store: 1000}
	key := conn.Keys.Record("payments", request.ID)
	const size = 24 << 20
	// The outcome and the progress, without sending their bytes.
	script := `redis.call('HSET', KEYS[1], 'state', 'done', 'outcome', '- {"ok":true,"result":"' .. string.rep('x', tonumber(ARGV[1])) .. '"}',
		'progress', string.rep('x', tonumber(ARGV[1]))) return 1`
	require.NoError(t, conn.Redis().Eval(t.Context(), script, []string{key}, size).Err())
	used := allocated(func() {
		state, err := lookUp(t.Context(), conn, "payments", request)
		require.NoError(t, err)
		reply, err := state.answer()
		require.NoError(t, err)
		_, failure := wire.ParseEnvelope(reply.Envelope)
		require.NotNil(t, failure)
		assert.Equal(t, wire.CodeInternal, failure.Code)
		assert.Equal(t, "payments", failure.Service)

		record, err := FindRecord(t.Context(), conn, "payments", request.ID)
		require.NoError(t, err)
		assert.Equal(t, wire.StateDone, record.State)
		assert.Contains(t, record.Outcome, "INTERNAL")
		assert.Empty(t, record.Progress)

		waiting := newWaiters()
		w := newWaiter()
		w.begin("payments", request, purpose{})
		waiting.add(id, w)
		waiting.written(id, request, "1-1")
		s := newSweeper(conn, waiting, nil, nil)
		defer s.pipeline.Close()
		require.NoError(t, s.lookFor(t.Context(), waiting.overdue(time.Now(), true)))
		assert.Contains(t, (<-w.wake).reply.Envelope, "INTERNAL")
	})
	assert.Less(t, used, uint64(8<<20))
}

func TestOutcomesWithinTheLimitAreRead(t *testing.T) {
	t.Parallel()
	conn, err := bus.Connect(testsupport.Miniredis(t), bus.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	envelope := string(wire.Success([]byte(`"` + strings.Repeat("x", wire.MaxReply-100) + `"`)))
	require.NoError(t, conn.Redis().HSet(t.Context(), conn.Keys.Record("payments", "1"), "state", wire.StateDone, "outcome", "worker=w "+envelope).Err())
	record, err := FindRecord(t.Context(), conn, "payments", "1")
	require.NoError(t, err)
	assert.Equal(t, envelope, record.Outcome)
}

// Replies that cannot be read must neither fill the log nor hold back others.
func TestUnreadableRepliesAreDropped(t *testing.T) {
	t.Parallel()
	log, logs := testsupport.Logger(t)
	conn, err := bus.Connect(testsupport.StartRedis(t).URL(), bus.Options{Logger: log})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	c := New(conn, Config{})
	t.Cleanup(c.Close)
	require.NoError(t, c.WaitReady(t.Context()))
	channel, err := c.listen(t.Context(), "users")
	require.NoError(t, err)

	rdb := conn.Redis()
	id := uuid.New()
	w := newWaiter()
	w.begin("users", &wire.Request{ID: id.String()}, purpose{})
	c.waiters.add(id, w)
	require.NoError(t, rdb.Publish(t.Context(), channel, strings.Repeat("x\n", maxWastedLines-100)).Err())
	require.NoError(t, rdb.Publish(t.Context(), channel, strings.Repeat("x", maxMessage+1)).Err())
	long := id.String() + ` - {"ok":true,"result":"` + strings.Repeat("x", maxLine) + "\"}\n"
	require.NoError(t, rdb.Publish(t.Context(), channel, long).Err())
	require.NoError(t, rdb.Publish(t.Context(), channel, id.String()+" - {\"ok\":true,\"result\":1}\n").Err())
	assert.JSONEq(t, `{"ok":true,"result":1}`, (<-w.wake).reply.Envelope)
	assert.Less(t, len(logs.String()), 10_000)
	assert.EqualValues(t, 1, c.subscription.health.counts.subscriptions.Load(), "it is the same subscription")
}

// The bytes of requests that will be refused are not sent to Redis, where they would delay
// others. A known ID and a small request are.
func TestLargeRequestsOfARefusedPrincipalAreNotSent(t *testing.T) {
	t.Parallel()
	conn, err := bus.Connect(testsupport.StartRedis(t).URL(), bus.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	c := New(conn, Config{StoredLimit: 400 << 10})
	t.Cleanup(c.Close)
	require.NoError(t, c.WaitReady(t.Context()))
	send := func(id uuid.UUID, subject string, size int) error {
		_, err := c.Send(t.Context(), &Call{
			Service: "things", Action: "MAKE", Args: `["` + strings.Repeat("x", size) + `"]`, ID: id, Shared: true,
			Principal: &wire.Principal{Subject: subject},
		})
		return err
	}
	const size = 50 << 10
	require.NoError(t, send(uuid.New(), "bob", size))
	known := uuid.New()
	require.NoError(t, send(known, "ada", size))
	require.ErrorIs(t, send(uuid.New(), "ada", size), ErrStorageLimited, "Redis refuses it")
	read := func() int64 {
		text, err := conn.Redis().InfoMap(t.Context(), "stats").Result()
		require.NoError(t, err)
		n, err := strconv.ParseInt(text["Stats"]["total_net_input_bytes"], 10, 64)
		require.NoError(t, err)
		return n
	}
	before := read()
	for range 20 {
		var refused *StorageLimitedError
		require.ErrorAs(t, send(uuid.New(), "ada", size), &refused)
		assert.Greater(t, refused.RetryAfter, time.Minute, "as Redis said")
	}
	assert.Less(t, read()-before, int64(10*size))
	require.NoError(t, send(known, "ada", size), "a known ID")
	require.NoError(t, send(uuid.New(), "bob", 100), "another principal")
	require.NoError(t, send(uuid.New(), "ada", 100), "a small request, for which there is room")
}

// A service that floods the channel of its replies is not listened to for a while. The others
// share the connection and are.
func TestFloodsOfRepliesAreMuted(t *testing.T) {
	t.Parallel()
	log, logs := testsupport.Logger(t)
	conn, err := bus.Connect(testsupport.StartRedis(t).URL(), bus.Options{Logger: log})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	for name, flood := range map[string]string{
		"garbage":  strings.Repeat("garbage\n", maxWastedLines+1),
		"no lines": strings.Repeat("\n", maxWastedLines+2),
		"unknown":  strings.Repeat(uuid.NewString()+" - {\"ok\":true,\"result\":1}\n", maxWastedLines+1),
		"progress": strings.Repeat(uuid.NewString()+"+progress - 1\n", maxWastedLines+1),
		"large":    strings.Repeat("x", 9<<20), // three of them fit into what Redis buffers for a subscriber
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := New(conn, Config{})
			t.Cleanup(c.Close)
			require.NoError(t, c.WaitReady(t.Context()))
			s := c.subscription
			s.mu.Lock()
			s.mutes.time = 2 * time.Second
			s.mu.Unlock()
			channel, err := c.listen(t.Context(), "users")
			require.NoError(t, err)
			_, err = c.listen(t.Context(), "items")
			require.NoError(t, err)
			pipe := conn.Redis().Pipeline()
			for range 3 {
				pipe.Publish(t.Context(), channel, flood)
			}
			_, err = pipe.Exec(t.Context())
			require.NoError(t, err)
			testsupport.Eventually(t, 10*time.Second, "the service is muted", func() bool { return s.channel("users") == "" })
			_, err = c.listen(t.Context(), "users")
			require.ErrorIs(t, err, errMuted)
			require.ErrorIs(t, err, ErrUnavailable)
			assert.NotEmpty(t, s.channel("items"))
			testsupport.Eventually(t, 10*time.Second, "Redis no longer sends", func() bool {
				heard, err := conn.Redis().PubSubNumSub(t.Context(), channel).Result()
				return err == nil && heard[channel] == 0
			})
			testsupport.Eventually(t, 10*time.Second, "it is heard again", func() bool {
				_, err := c.listen(t.Context(), "users")
				return err == nil
			})
			assert.EqualValues(t, 1, s.health.counts.subscriptions.Load(), "it is the same subscription")
		})
	}
	t.Cleanup(func() { assert.True(t, logs.Contains("floods the channel")) })
}
