package bustest_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/consumer"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/testsupport"
)

// While a mailbox moves from one master of a cluster to another and back, requests are
// answered, each unsafe one once.
func TestMailboxMovesUnderLoad(t *testing.T) {
	t.Parallel()
	const mailbox = "mailroom:{things}:requests"
	cluster := testsupport.StartCluster(t, 2, 0)
	first := cluster.Master(mailbox)
	log, _ := testsupport.Logger(t)
	connect := func() *bus.Conn {
		conn, err := bus.Connect(cluster.URL(), bus.Options{Logger: log})
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	var runs sync.Map // by request
	consumer, err := consumer.New(connect(), consumer.Config{
		Manifest: &wire.Manifest{Service: "things", Version: "1", Protocol: 1, Actions: []wire.Action{{Name: "DO"}}},
		Run: func(_ context.Context, d *consumer.Delivery) consumer.Outcome {
			n, _ := runs.LoadOrStore(d.Request.ID, new(atomic.Int64))
			n.(*atomic.Int64).Add(1)
			return consumer.Done(wire.ReplyMeta{}, wire.Success([]byte("1")), 0)
		},
	})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	var running, calling sync.WaitGroup
	running.Go(func() { assert.NoError(t, consumer.Run(ctx)) })
	t.Cleanup(running.Wait)
	t.Cleanup(stop)
	client := caller.New(connect(), caller.Config{})
	t.Cleanup(client.Close)
	require.NoError(t, client.WaitReady(t.Context()))

	var answered atomic.Int64
	until, enough := context.WithCancel(t.Context())
	for i := range 8 {
		calling.Go(func() {
			for until.Err() == nil {
				id, safe := uuid.New(), i%2 == 0
				call := &caller.Call{Service: "things", Action: "DO", ID: id, Safe: safe, Timeout: 20 * time.Second}
				reply, err := client.Do(t.Context(), call) //nolint:contextcheck // every call gets its reply, also at the end
				if errors.Is(err, caller.ErrUnavailable) {
					continue // it was not sent: a client would retry
				}
				if err != nil {
					t.Error(err)
					return
				}
				assert.Equal(t, `{"ok":true,"result":1}`, reply.Envelope)
				n, ran := runs.Load(id.String())
				if assert.True(t, ran) && !safe {
					assert.EqualValues(t, 1, n.(*atomic.Int64).Load())
				}
				answered.Add(1)
			}
		})
	}
	more := func() {
		at := answered.Load()
		testsupport.Eventually(t, 20*time.Second, "more is answered", func() bool { return answered.Load() > at+200 })
	}
	more()
	for _, other := range cluster.Nodes {
		if other != first {
			cluster.Move(mailbox, other)
		}
	}
	more()
	cluster.Move(mailbox, first)
	more()
	enough()
	calling.Wait()
	testsupport.Eventually(t, 10*time.Second, "nothing is left", func() bool {
		return first.Do("XLEN", mailbox) == int64(0)
	})
}
