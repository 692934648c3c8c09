package bustest

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/consumer"
	"github.com/oskadev/mailroom/bus/registry"
	"github.com/oskadev/mailroom/bus/wire"
)

// take reads one entry as the worker "other".
func (s *stage) take() redis.XMessage {
	s.t.Helper()
	mailbox := s.conn.Keys.Requests("things")
	err := s.rdb.XGroupCreateMkStream(s.ctx, mailbox, wire.Group, "0").Err()
	if err != nil {
		require.ErrorContains(s.t, err, "BUSYGROUP")
	}
	var entry redis.XMessage
	s.eventually("an entry can be read", func() bool {
		streams, err := s.rdb.XReadGroup(s.ctx, &redis.XReadGroupArgs{
			Group: wire.Group, Consumer: "other", Streams: []string{mailbox, ">"}, Count: 1, Block: 100 * time.Millisecond,
		}).Result()
		if err != nil || len(streams) == 0 || len(streams[0].Messages) == 0 {
			return false
		}
		entry = streams[0].Messages[0]
		return true
	})
	return entry
}

// finish removes an entry and publishes no reply.
func (s *stage) finish(entry string) {
	s.t.Helper()
	mailbox := s.conn.Keys.Requests("things")
	require.NoError(s.t, s.rdb.XAck(s.ctx, mailbox, wire.Group, entry).Err())
	require.NoError(s.t, s.rdb.XDel(s.ctx, mailbox, entry).Err())
}

func lostSafeReply(s *stage) {
	c := s.client(caller.Config{})
	answered := make(chan string, 1)
	go func() {
		reply, err := c.Do(s.ctx, safe(`[7]`))
		if err != nil {
			reply.Envelope = err.Error()
		}
		answered <- reply.Envelope
	}()
	first := s.take()
	s.finish(first.ID)
	second := s.take()
	assert.Equal(s.t, first.Values["id"], second.Values["id"])
	line := second.Values["id"].(string) + ` - {"ok":true,"result":7}` + "\n"
	require.NoError(s.t, s.rdb.Publish(s.ctx, second.Values["reply"].(string), line).Err())
	assert.Equal(s.t, `{"ok":true,"result":7}`, <-answered)
}

func lostUnsafeReply(s *stage) {
	c := s.client(caller.Config{})
	answered := make(chan string, 1)
	go func() {
		reply, err := c.Do(s.ctx, unsafe(`[7]`))
		if err != nil {
			reply.Envelope = err.Error()
		}
		answered <- reply.Envelope
	}()
	entry := s.take()
	key := s.conn.Keys.Record("things", entry.Values["id"].(string))
	require.NoError(s.t, s.rdb.HSet(s.ctx, key, "state", wire.StateDone, "outcome", `- {"ok":true,"result":7}`).Err())
	s.finish(entry.ID)
	assert.Equal(s.t, `{"ok":true,"result":7}`, <-answered)
}

func forgedReply(s *stage) {
	c := s.client(caller.Config{})
	// It calls another service too, so that it subscribes to the channel of that service.
	other := safe(`[]`)
	other.Service, other.Timeout = "others", time.Millisecond
	_, err := c.Do(s.ctx, other)
	require.ErrorIs(s.t, err, caller.ErrTimeout)

	call := safe(`[1]`)
	call.ID = uuid.New()
	answered := make(chan string, 1)
	go func() {
		reply, err := c.Do(s.ctx, call)
		if err != nil {
			reply.Envelope = err.Error()
		}
		answered <- reply.Envelope
	}()
	entry := s.take()
	forged := call.ID.String() + ` - {"ok":true,"result":"forged"}` + "\n"
	require.NoError(s.t, s.rdb.Publish(s.ctx, s.conn.Keys.Replies(c.ID(), "others"), forged).Err())
	right := call.ID.String() + ` - {"ok":true,"result":"right"}` + "\n"
	require.NoError(s.t, s.rdb.Publish(s.ctx, entry.Values["reply"].(string), right).Err())
	assert.Equal(s.t, `{"ok":true,"result":"right"}`, <-answered)
}

func noForeignChannel(s *stage) {
	pubsub := s.rdb.Subscribe(s.ctx, "elsewhere", s.conn.Keys.Registry(), s.conn.Keys.Replies("api.x", "others"), s.conn.Keys.Replies("api.x", "things"))
	defer func() { _ = pubsub.Close() }()
	for range 4 {
		_, err := pubsub.Receive(s.ctx)
		require.NoError(s.t, err)
	}
	mailbox := s.conn.Keys.Requests("things")
	for i, channel := range []string{"elsewhere", s.conn.Keys.Registry(), s.conn.Keys.Replies("api.x", "others"), s.conn.Keys.Replies("api.x", "things")} {
		for _, store := range []string{"", "60000"} {
			require.NoError(s.t, s.rdb.XAdd(s.ctx, &redis.XAddArgs{Stream: mailbox, Values: []string{
				"v", "1", "id", uuid.NewString(), "action", "DO", "args", number(i), "reply", channel, "deadline", "", "meta", "", "store", store,
			}}).Err())
		}
	}
	s.serve(echo)
	s.empty()
	replies := 0
	for replies < 2 {
		message, err := pubsub.ReceiveMessage(s.ctx)
		require.NoError(s.t, err)
		if message.Channel == s.conn.Keys.Registry() && message.Payload == "things" {
			continue // the announcement of the worker itself
		}
		require.Equal(s.t, s.conn.Keys.Replies("api.x", "things"), message.Channel)
		replies += countLines(message.Payload)
	}
}

func countLines(payload string) int {
	n := 0
	for _, c := range payload {
		if c == '\n' {
			n++
		}
	}
	return n
}

func scriptsForgotten(s *stage) {
	s.serve(echo)
	c := s.client(caller.Config{})
	for range 3 {
		require.NoError(s.t, s.rdb.ScriptFlush(s.ctx).Err())
		reply, err := c.Do(s.ctx, unsafe(`[1]`))
		require.NoError(s.t, err)
		require.Equal(s.t, `{"ok":true,"result":[1]}`, reply.Envelope)
	}
	s.empty()
}

func flushed(s *stage) {
	var runs counter
	w := s.serve(func(ctx context.Context, d *consumer.Delivery) consumer.Outcome {
		runs.add(d.Request.ID)
		return echo(ctx, d)
	})
	c := s.client(caller.Config{})
	_, err := c.Do(s.ctx, unsafe(`[1]`))
	require.NoError(s.t, err)
	require.NoError(s.t, s.rdb.FlushAll(s.ctx).Err())
	for _, call := range []*caller.Call{safe(`[2]`), unsafe(`[3]`)} {
		_, err := c.Do(s.ctx, call)
		require.NoError(s.t, err)
	}
	assert.Equal(s.t, 3, runs.total())
	registry := registry.New(s.conn, nil)
	s.eventually("the worker is listed again", func() bool {
		_ = registry.Look(s.ctx)
		found := registry.Snapshot()["things"]
		return found != nil && len(found.Workers) == 1 && found.Workers[0].ID == w.Worker() && found.Manifest != nil
	})
}
