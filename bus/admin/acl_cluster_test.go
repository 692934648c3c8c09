package admin_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/consumer"
	"github.com/oskadev/mailroom/bus/registry"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/testsupport"
)

// TestRightsOnACluster has the roles do their work on a cluster, of one server:
// there the client library needs commands of its own.
func TestRightsOnACluster(t *testing.T) {
	t.Parallel()
	cluster := testsupport.StartCluster(t, 1, 0)
	g := &guard{redis: cluster.Nodes[0]}
	url := cluster.URL()
	g.admin = g.connect(t, "", url)
	g.apply(t)
	g.redis.Do("ACL", "LOG", "RESET")

	consumer, err := consumer.New(g.connect(t, "users", url), consumer.Config{
		Manifest: &wire.Manifest{Service: "users", Version: "1", Protocol: 1, Actions: []wire.Action{}},
		Run: func(_ context.Context, d *consumer.Delivery) consumer.Outcome {
			if d.Request.Lane != "" { // so that others wait behind it
				<-time.After(10 * time.Millisecond)
			}
			return consumer.Done(wire.ReplyMeta{}, wire.Success([]byte("1")), 0)
		},
	})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { assert.NoError(t, consumer.Run(ctx)) })
	t.Cleanup(running.Wait)
	t.Cleanup(stop)

	conn := g.connect(t, "api", url)
	client := caller.New(conn, caller.Config{})
	t.Cleanup(client.Close)
	require.NoError(t, client.WaitReady(t.Context()))
	for _, safe := range []bool{true, false} {
		reply, err := client.Do(t.Context(), &caller.Call{Service: "users", Action: "DO", ID: uuid.New(), Safe: safe, Timeout: 10 * time.Second})
		require.NoError(t, err)
		assert.Equal(t, `{"ok":true,"result":1}`, reply.Envelope)
	}
	var waiting sync.WaitGroup
	for range 10 {
		waiting.Go(func() {
			reply, err := client.Do(t.Context(), &caller.Call{Service: "users", Action: "DO", Lane: "user:1", Timeout: 10 * time.Second})
			if assert.NoError(t, err) {
				assert.Equal(t, `{"ok":true,"result":1}`, reply.Envelope)
			}
		})
	}
	waiting.Wait()
	require.NoError(t, registry.New(conn, nil).Look(t.Context()))
	_, err = conn.Redis().Get(t.Context(), "mailroom:{users}:a").Result()
	require.ErrorAs(t, err, new(*bus.RefusedError))
	log, _ := g.redis.Do("ACL", "LOG").([]any)
	assert.Len(t, log, 1, "the last one, and no other")
}
