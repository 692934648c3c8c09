package history_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/history"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/testsupport"
)

func TestMain(m *testing.M) { testsupport.Main(m) }

func connect(t *testing.T, url string) (*bus.Conn, *testsupport.Logs) {
	t.Helper()
	log, logs := testsupport.Logger(t)
	conn, err := bus.Connect(url, bus.Options{Logger: log})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn, logs
}

// ended returns a delivery of an action that ended with a status.
func ended(id string, status int) *history.Delivery {
	return &history.Delivery{
		Request: &wire.Request{ID: id, Action: "GET_USER", Args: `[1]`, Meta: `{"request_id":"order-7","version":"v2","depth":1,"caller":"compositions","principal":{"subject":"key:k1"}}`},
		Worker:  "users.w1", Attempt: 1, State: wire.StateDone, Status: status, Queue: 1500 * time.Microsecond, Run: 2 * time.Millisecond,
		Outcome: []byte(`{"ok":true,"result":1}`),
	}
}

func TestRecordedAndRead(t *testing.T) {
	t.Parallel()
	conn, _ := connect(t, testsupport.Miniredis(t))
	r := history.NewRecorder(conn, "users", 0)
	r.Ended(ended("a", 200))
	r.Ended(&history.Delivery{Request: &wire.Request{ID: "b", Action: "GET_USER"}, State: wire.StateExpired, Attempt: 1})
	r.Close()
	entries, err := history.Read(t.Context(), conn, "users", 10)
	require.NoError(t, err)
	require.Len(t, entries, 2)
	assert.Equal(t, "b", entries[0].ID, "the latest first")
	assert.Equal(t, "b", entries[0].RequestID)
	got := entries[1]
	assert.WithinDuration(t, time.Now(), got.Ended, 10*time.Second)
	assert.WithinDuration(t, got.Ended.Add(-3500*time.Microsecond), got.Accepted(), 0)
	got.Entry, got.Ended = "", time.Time{}
	assert.Equal(t, history.Entry{
		Service: "users", ID: "a", Action: "GET_USER", RequestID: "order-7", Caller: "compositions", Principal: "key:k1", Version: "v2", Depth: 1,
		State: wire.StateDone, Status: 200, Worker: "users.w1", Attempt: 1, Queue: 1500 * time.Microsecond, Run: 2 * time.Millisecond,
		Args: `[1]`, Outcome: `{"ok":true,"result":1}`,
	}, got)
	ttl, err := conn.Redis().PTTL(t.Context(), conn.Keys.Recent("users")).Result()
	require.NoError(t, err)
	assert.Positive(t, ttl)
}

// A busy or noisy service keeps a bounded history, and failures stay in it.
func TestHistoryIsBounded(t *testing.T) {
	t.Parallel()
	conn, _ := connect(t, testsupport.StartRedis(t).URL())
	r := history.NewRecorder(conn, "users", 0)
	d := ended("a", 200)
	d.Request.Args = `["` + strings.Repeat("ä", 2000) + `"]`
	d.Outcome = []byte(strings.Repeat("x", 1<<20))
	for range 1000 {
		r.Ended(d)
	}
	r.Ended(ended("b", 500))
	r.Close()
	entries, err := history.Read(t.Context(), conn, "users", 1000)
	require.NoError(t, err)
	assert.Less(t, len(entries), 100, "a sample")
	assert.True(t, slices.ContainsFunc(entries, func(e history.Entry) bool { return e.ID == "b" }), "a failure has a share of its own")
	i := slices.IndexFunc(entries, func(e history.Entry) bool { return e.ID == "a" })
	assert.LessOrEqual(t, len(entries[i].Args), 1<<10)
	assert.LessOrEqual(t, len(entries[i].Outcome), 1<<10)
	assert.True(t, strings.HasSuffix(entries[i].Args, "ä…"), "no half of a letter")

	for i := range 40 {
		small := history.NewRecorder(conn, "items", 100)
		for j := range 40 {
			small.Ended(ended(fmt.Sprint(i, j), 200))
		}
		small.Close()
	}
	length, err := conn.Redis().XLen(t.Context(), conn.Keys.Recent("items")).Result()
	require.NoError(t, err)
	assert.LessOrEqual(t, length, int64(300), "of 1,600; Redis removes whole nodes")
}

func TestFindByCorrelationAndRequestID(t *testing.T) {
	t.Parallel()
	conn, _ := connect(t, testsupport.Miniredis(t))
	for _, service := range []string{"users", "items"} {
		r := history.NewRecorder(conn, service, 0)
		r.Ended(ended(service+"-1", 200))
		other := ended(service+"-2", 200)
		other.Request.Meta = ""
		r.Ended(other)
		r.Close()
	}
	found, err := history.Find(t.Context(), conn, []string{"users", "items", "nobody"}, "order-7")
	require.NoError(t, err)
	assert.Len(t, found, 2)
	found, err = history.Find(t.Context(), conn, []string{"users", "items"}, "items-2")
	require.NoError(t, err)
	require.Len(t, found, 1)
	assert.Equal(t, "items", found[0].Service)
}

func TestFollow(t *testing.T) {
	t.Parallel()
	conn, _ := connect(t, testsupport.StartRedis(t).URL())
	before := history.NewRecorder(conn, "users", 0)
	before.Ended(ended("before", 200))
	before.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	seen := make(chan string, 10_000)
	done := make(chan error, 1)
	go func() {
		done <- history.Follow(ctx, conn, "users", func(e *history.Entry) bool {
			seen <- e.ID
			return e.ID != "last"
		})
	}()
	testsupport.Eventually(t, 10*time.Second, "a new entry is seen", func() bool {
		r := history.NewRecorder(conn, "users", 0)
		r.Ended(ended("next", 200))
		r.Close()
		select {
		case id := <-seen:
			return assert.Equal(t, "next", id)
		default:
			return false
		}
	})
	r := history.NewRecorder(conn, "users", 0)
	r.Ended(ended("last", 200))
	r.Close()
	require.NoError(t, <-done)
}

// A worker whose rights are those of an older release works, and says once what is missing.
func TestRefusedHistoryEndsQuietly(t *testing.T) {
	t.Parallel()
	server := testsupport.StartRedis(t)
	admin, _ := connect(t, server.URL())
	require.NoError(t, admin.Redis().Do(t.Context(), "ACL", "SETUSER", "old", "on", ">pw", "~other", "+@all").Err())
	conn, logs := connect(t, strings.Replace(server.URL(), "redis://", "redis://old:pw@", 1))
	r := history.NewRecorder(conn, "users", 0)
	for range 2 {
		r.Ended(ended("a", 200))
		testsupport.Eventually(t, 10*time.Second, "the refusal is logged", func() bool { return strings.Contains(logs.String(), "no history of requests is kept") })
	}
	r.Close()
	assert.Equal(t, 1, strings.Count(logs.String(), "no history of requests is kept"))
}

func TestNoHistory(t *testing.T) {
	t.Parallel()
	conn, _ := connect(t, testsupport.Miniredis(t))
	r := history.NewRecorder(conn, "users", -1)
	r.Ended(ended("a", 200))
	r.Close()
	entries, err := history.Read(t.Context(), conn, "users", 10)
	require.NoError(t, err)
	assert.Empty(t, entries)
}
