package proxy

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/internal/conformance/resp"
	"github.com/oskadev/mailroom/internal/conformance/suites"
	"github.com/oskadev/mailroom/internal/conformance/trace"
	"github.com/oskadev/mailroom/testsupport"
)

func TestProxyReadsBothProtocolsAndPipelines(t *testing.T) {
	t.Parallel()
	server := testsupport.StartRedis(t)
	for _, protocol := range []int{2, 3} {
		tr := trace.New()
		p, err := Start(server.Addr(), tr)
		require.NoError(t, err)
		rdb := redis.NewClient(&redis.Options{Addr: p.Address(), Protocol: protocol})

		sub := rdb.Subscribe(t.Context(), "a", "b")
		for range 2 {
			_, err = sub.Receive(t.Context())
			require.NoError(t, err)
		}
		require.NoError(t, rdb.Publish(t.Context(), "b", "hello").Err())
		message, err := sub.ReceiveMessage(t.Context())
		require.NoError(t, err)
		assert.Equal(t, "hello", message.Payload)
		require.NoError(t, sub.Ping(t.Context()))
		_, err = sub.Receive(t.Context())
		require.NoError(t, err)

		require.NoError(t, rdb.Del(t.Context(), "s", "h").Err())
		pipe := rdb.Pipeline()
		pipe.XAdd(t.Context(), &redis.XAddArgs{Stream: "s", ID: "1-1", Values: []string{"f", "v\r\n"}})
		pipe.HSet(t.Context(), "h", "f", strings.Repeat("x", 200_000))
		all := pipe.HGetAll(t.Context(), "h")
		missing := pipe.Get(t.Context(), "missing")
		wrong := pipe.Get(t.Context(), "h")
		_, _ = pipe.Exec(t.Context())
		assert.Len(t, all.Val()["f"], 200_000)
		require.ErrorIs(t, missing.Err(), redis.Nil)
		require.ErrorContains(t, wrong.Err(), "WRONGTYPE")
		require.NoError(t, rdb.XGroupCreate(t.Context(), "s", "g", "0").Err())
		_, err = rdb.XReadGroup(t.Context(), &redis.XReadGroupArgs{Group: "g", Consumer: "c", Count: 5, Streams: []string{"s", ">"}}).Result()
		require.NoError(t, err)

		for _, c := range tr.All() {
			assert.NotNil(t, c.Reply, c.String())
		}
		gets := tr.Named("GET")
		require.Len(t, gets, 2)
		assert.True(t, gets[0].Reply.Null)
		assert.True(t, gets[1].Reply.IsError())
		reads := tr.Named("XREADGROUP")
		require.Len(t, reads, 1)
		assert.Equal(t, []string{"1-1"}, reads[0].Entries())
		count, _ := reads[0].Option("count")
		assert.Equal(t, "5", count)
		require.NoError(t, sub.Close())
		require.NoError(t, rdb.Close())
		p.Close()
	}
}

func TestProxyInjectsFaults(t *testing.T) {
	t.Parallel()
	server := testsupport.StartRedis(t)
	tr := trace.New()
	p, err := Start(server.Addr(), tr)
	require.NoError(t, err)
	t.Cleanup(p.Close)
	open := func() *resp.Client {
		c, err := resp.Dial(p.Address())
		require.NoError(t, err)
		t.Cleanup(c.Close)
		return c
	}

	p.Inject(suites.Fault{Kind: "drop-reply", Command: "incr"})
	require.NotNil(t, p.Unused())
	_, err = open().Do("INCR", "dropped")
	require.Error(t, err)
	require.Nil(t, p.Unused())
	p.Inject(suites.Fault{Kind: "cut-request", Command: "INCR"})
	_, err = open().Do("INCR", "cut")
	require.Error(t, err)
	assert.Equal(t, "1", server.Do("GET", "dropped"))
	assert.Equal(t, int64(0), server.Do("EXISTS", "cut"))

	c := open()
	_, err = c.Do("PING")
	require.NoError(t, err)
	p.Inject(suites.Fault{Kind: "refuse"})
	_, err = c.Do("PING")
	require.Error(t, err)
	_, err = open().Do("PING")
	require.Error(t, err)
	p.Inject(suites.Fault{Kind: "accept"})
	p.Inject(suites.Fault{Kind: "shift-time", Shift: "1h"})
	v, err := open().Do("TIME")
	require.NoError(t, err)
	seconds, err := strconv.ParseInt(v.Items[0].Text, 10, 64)
	require.NoError(t, err)
	shifted := time.Until(time.Unix(seconds, 0))
	assert.InDelta(t, time.Hour.Seconds(), shifted.Seconds(), 5)
}
