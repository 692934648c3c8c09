package bustest_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/testsupport"
)

// A caller gets the answer of an unsafe action once replicas hold it. Before that it gets
// an unknown outcome, and can look it up later.
func TestUnsafeAnswersWaitForReplicas(t *testing.T) {
	t.Parallel()
	b := newBroken(t, nil)
	host, port, _ := strings.Cut(b.redis.Addr(), ":")
	replica := testsupport.StartRedis(t, "--replicaof", host+" "+port)
	follows := func() bool { return b.redis.Do("WAIT", 1, 100) == int64(1) }
	testsupport.Eventually(t, 20*time.Second, "the replica follows", follows)
	conn := b.connect(t, b.redis.URL())
	careful := caller.New(conn, caller.Config{MinReplicas: 1, ReplicaWait: 2 * time.Second})
	t.Cleanup(careful.Close)
	call := func(ctx context.Context, safe bool) (uuid.UUID, error) {
		id := uuid.New()
		_, err := careful.Do(ctx, &caller.Call{Service: "things", Action: "DO", ID: id, Safe: safe, Timeout: 10 * time.Second})
		return id, err
	}
	_, err := call(t.Context(), false)
	require.NoError(t, err)

	replica.Freeze()
	id, err := call(t.Context(), false)
	require.ErrorIs(t, err, caller.ErrNotReplicated)
	require.ErrorIs(t, err, caller.ErrTimeout, "it is not known what will become of it")
	record, err := caller.FindRecord(t.Context(), conn, "things", id.String())
	require.NoError(t, err)
	assert.Equal(t, wire.StateDone, record.State)
	require.ErrorIs(t, careful.Confirm(t.Context(), "things", id.String(), record), caller.ErrNotReplicated, "nor may anybody else be told")
	_, err = call(t.Context(), true)
	require.NoError(t, err, "a safe answer needs no replica")

	replica.Thaw()
	testsupport.Eventually(t, 20*time.Second, "the replica follows again", follows)
	testsupport.Eventually(t, 20*time.Second, "requests are accepted", func() bool {
		_, err = call(t.Context(), false)
		return err == nil
	})
}
