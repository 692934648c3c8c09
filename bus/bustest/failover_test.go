package bustest_test

import (
	"context"
	"errors"
	"strconv"
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

// patience is the longest wait of a test.
const patience = 20 * time.Second

// group is a service and a client on several Redis servers.
type group struct {
	t      *testing.T
	conn   *bus.Conn
	client *caller.Client
	runs   atomic.Int64
	hold   atomic.Pointer[chan struct{}] // runs wait until it is closed
}

func newGroup(t *testing.T, url string, cfg caller.Config) *group {
	t.Helper()
	g := &group{t: t}
	g.conn = g.connect(url)
	g.serve(url, "things")
	g.client = caller.New(g.conn, cfg)
	t.Cleanup(g.client.Close)
	require.NoError(t, g.client.WaitReady(t.Context()))
	return g
}

func (g *group) connect(url string) *bus.Conn {
	g.t.Helper()
	log, _ := testsupport.Logger(g.t)
	conn, err := bus.Connect(url, bus.Options{Logger: log, Timeout: time.Second})
	require.NoError(g.t, err)
	g.t.Cleanup(func() { _ = conn.Close() })
	require.NoError(g.t, conn.WaitReady(g.t.Context()))
	return conn
}

// serve starts a worker of a service.
func (g *group) serve(url, service string) {
	g.t.Helper()
	worker, err := consumer.New(g.connect(url), consumer.Config{
		Manifest:    &wire.Manifest{Service: service, Version: "1", Protocol: 1, Actions: []wire.Action{}},
		Concurrency: 256,
		Run: func(ctx context.Context, _ *consumer.Delivery) consumer.Outcome {
			run := g.runs.Add(1)
			if hold := g.hold.Load(); hold != nil {
				select {
				case <-*hold:
				case <-ctx.Done():
				}
			}
			return consumer.Done(wire.ReplyMeta{}, wire.Success([]byte(strconv.FormatInt(run, 10))), 0)
		},
	})
	require.NoError(g.t, err)
	ctx, stop := context.WithCancel(g.t.Context())
	var running sync.WaitGroup
	running.Go(func() { assert.NoError(g.t, worker.Run(ctx)) })
	g.t.Cleanup(running.Wait)
	g.t.Cleanup(stop)
}

func (g *group) call(service string, id uuid.UUID) error {
	_, err := g.outcome(service, id)
	return err
}

// outcome returns the outcome of a call, which names the run.
func (g *group) outcome(service string, id uuid.UUID) (string, error) {
	reply, err := g.client.Do(g.t.Context(), &caller.Call{Service: service, Action: "DO", ID: id, Timeout: 20 * time.Second})
	return reply.Envelope, err
}

// A caller never gets an outcome that a failover has lost: not from the old master, on whose
// word the caller waits, and not from the new one, which has replicas too.
func TestNoOutcomeIsConfirmedByAnotherServer(t *testing.T) {
	t.Parallel()
	sentinels := testsupport.StartSentinels(t)
	g := newGroup(t, sentinels.URL(), caller.Config{MinReplicas: 1})
	require.NoError(t, g.call("things", uuid.New()))
	before := sentinels.Master()

	// The requests are on all servers, their outcomes only on the master.
	const calls = 40
	hold := make(chan struct{})
	g.hold.Store(&hold)
	ids, outcomes, errs := make([]uuid.UUID, calls), make([]string, calls), make([]error, calls)
	began := g.runs.Load()
	var calling sync.WaitGroup
	for i := range calls {
		ids[i] = uuid.New()
		calling.Go(func() { outcomes[i], errs[i] = g.outcome("things", ids[i]) })
	}
	testsupport.Eventually(t, patience, "all run", func() bool { return g.runs.Load() == began+calls })
	before.Do("WAIT", 2, 5000)
	before.CutReplicas()
	g.hold.Store(nil)
	close(hold)
	testsupport.Eventually(t, patience, "all outcomes are stored", func() bool {
		for _, id := range ids {
			if before.Do("HGET", "mailroom:{things}:req:"+id.String(), "state") != wire.StateDone {
				return false
			}
		}
		return true
	})
	lost, err := g.client.Record(t.Context(), "things", ids[0].String())
	require.NoError(t, err)
	before.Freeze()
	after := sentinels.AwaitFailover(before)
	after.AwaitReplicas(1)

	require.ErrorIs(t, g.client.Confirm(t.Context(), "things", ids[0].String(), lost), caller.ErrNotReplicated)
	calling.Wait()
	for i, err := range errs {
		if err == nil {
			assert.Contains(t, after.Do("HGET", "mailroom:{things}:req:"+ids[i].String(), "outcome"), outcomes[i], "the caller has it")
		}
	}
	before.Thaw()
}

// While too few replicas are connected, unsafe requests are refused and do not run.
func TestTooFewReplicasRefuseRequests(t *testing.T) {
	t.Parallel()
	sentinels := testsupport.StartSentinels(t)
	g := newGroup(t, sentinels.URL(), caller.Config{MinReplicas: caller.AllReplicas})
	require.NoError(t, g.call("things", uuid.New()))
	master := sentinels.Master()
	master.CutReplicas()
	cut := time.Now()
	testsupport.Eventually(t, patience, "requests are refused", func() bool {
		return errors.Is(g.call("things", uuid.New()), caller.ErrTooFewReplicas)
	})
	t.Logf("refused %s after the cut", time.Since(cut).Round(time.Millisecond))
	before, began := g.runs.Load(), time.Now()
	var calling sync.WaitGroup
	for range 50 {
		calling.Go(func() {
			for range 20 {
				assert.ErrorIs(t, g.call("things", uuid.New()), caller.ErrTooFewReplicas)
			}
		})
	}
	calling.Wait()
	_, err := g.client.Send(t.Context(), &caller.Call{Service: "things", Action: "DO"})
	require.ErrorIs(t, err, caller.ErrTooFewReplicas)
	require.ErrorIs(t, err, caller.ErrUnavailable)
	assert.Less(t, time.Since(began), 2*time.Second, "nobody waits")
	assert.Equal(t, before, g.runs.Load(), "nothing runs")
	_, err = g.client.Do(t.Context(), &caller.Call{Service: "things", Action: "DO", Safe: true})
	require.NoError(t, err, "a safe request needs no replica")

	master.LinkReplicas()
	testsupport.Eventually(t, patience, "requests are accepted", func() bool { return g.call("things", uuid.New()) == nil })
	require.NoError(t, g.call("things", uuid.New()))
}

// On a cluster, replicas that hang delay only the services of their master.
func TestReplicasDelayOnlyTheirServices(t *testing.T) {
	t.Parallel()
	cluster := testsupport.StartCluster(t, 3, 1)
	sick := cluster.Master("{things}")
	healthy := "others"
	for i := 0; cluster.Master("{"+healthy+"}") == sick; i++ {
		healthy = "others" + strconv.Itoa(i)
	}
	g := newGroup(t, cluster.URL(), caller.Config{MinReplicas: 1})
	g.serve(cluster.URL(), healthy)
	require.NoError(t, g.call("things", uuid.New()))
	require.NoError(t, g.call(healthy, uuid.New()))

	replica := cluster.Replica(sick)
	replica.Freeze()
	stop, wait := context.WithCancel(t.Context())
	var calling sync.WaitGroup
	calling.Go(func() {
		defer wait()
		assert.ErrorIs(t, g.call("things", uuid.New()), caller.ErrNotReplicated, "it is not known yet")
	})
	var longest time.Duration
	for stop.Err() == nil {
		began := time.Now()
		require.NoError(t, g.call(healthy, uuid.New()))
		longest = max(longest, time.Since(began))
	}
	calling.Wait()
	require.ErrorIs(t, g.call("things", uuid.New()), caller.ErrTooFewReplicas)
	t.Logf("the longest call took %s", longest.Round(time.Millisecond))
	assert.Less(t, longest, 500*time.Millisecond)
	replica.Thaw()
	testsupport.Eventually(t, patience, "requests are accepted", func() bool { return g.call("things", uuid.New()) == nil })
}
