package bustest_test

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/consumer"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/testsupport"
)

// One request and its reply, of the usual size.
const (
	benchID       = "0190a5b4-7c3e-7d52-9f3e-0123456789ab"
	benchMeta     = `{"caller":"api.k2jx7mqa5zt4wv6e"}`
	benchEnvelope = `{"ok":true,"result":{"id":1,"name":"Oska","email":"oska@example.com"}}`
)

// BenchmarkClientDo measures a call through a real Redis with 64 callers. Client, Redis
// and worker share the processors.
func BenchmarkClientDo(b *testing.B) {
	conn, err := bus.Connect(testsupport.StartRedis(b).URL(), bus.Options{})
	require.NoError(b, err)
	b.Cleanup(func() { _ = conn.Close() })
	consumer, err := consumer.New(conn, consumer.Config{
		Manifest: &wire.Manifest{Service: "echo", Version: "1.0.0", Protocol: 1},
		Run: func(context.Context, *consumer.Delivery) consumer.Outcome {
			return consumer.Done(wire.ReplyMeta{}, []byte(benchEnvelope), 0)
		},
	})
	require.NoError(b, err)
	ctx, stop := context.WithCancel(context.WithoutCancel(b.Context()))
	var running sync.WaitGroup
	var ended error
	running.Go(func() { ended = consumer.Run(ctx) })
	b.Cleanup(func() {
		stop()
		running.Wait()
		require.NoError(b, ended)
	})
	client := caller.New(conn, caller.Config{})
	b.Cleanup(client.Close)
	require.NoError(b, client.WaitReady(b.Context()))
	var key atomic.Int64
	for _, kind := range []struct {
		name  string
		safe  bool
		lanes int64
	}{{"safe", true, 0}, {"unsafe", false, 0}, {"laned", false, 10_000}} {
		b.Run(kind.name, func(b *testing.B) {
			b.SetParallelism(32)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					call := &caller.Call{Service: "echo", Action: "GET_ECHO", Args: "[1]", Meta: benchMeta, Safe: kind.safe}
					if kind.lanes > 0 {
						call.Lane = "item:" + strconv.FormatInt(key.Add(1)%kind.lanes, 10)
					}
					reply, err := client.Do(b.Context(), call)
					if err != nil || reply.Envelope != benchEnvelope {
						b.Errorf("%q: %v", reply.Envelope, err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
		})
	}
}

// BenchmarkBesideHotLane measures the 99th percentile of other lanes while 10,000 requests
// wait in one lane, and while none does.
func BenchmarkBesideHotLane(b *testing.B) {
	for _, waiting := range []int{0, 10_000} {
		b.Run(strconv.Itoa(waiting), func(b *testing.B) {
			conn, err := bus.Connect(testsupport.StartRedis(b).URL(), bus.Options{})
			require.NoError(b, err)
			b.Cleanup(func() { _ = conn.Close() })
			consumer, err := consumer.New(conn, consumer.Config{
				Manifest: &wire.Manifest{Service: "echo", Version: "1.0.0", Protocol: 1}, DrainLimit: time.Millisecond,
				Run: func(ctx context.Context, d *consumer.Delivery) consumer.Outcome {
					if d.Request.Lane == "hot" { // slow enough to keep the lane full
						select {
						case <-time.After(5 * time.Millisecond):
						case <-ctx.Done():
						}
					}
					return consumer.Done(wire.ReplyMeta{}, []byte(benchEnvelope), 0)
				},
			})
			require.NoError(b, err)
			client := caller.New(conn, caller.Config{})
			b.Cleanup(client.Close)
			require.NoError(b, client.WaitReady(b.Context()))
			for range waiting {
				_, err := client.Send(b.Context(), &caller.Call{Service: "echo", Action: "GET_ECHO", Lane: "hot", Endless: true})
				require.NoError(b, err)
			}
			ctx, stop := context.WithCancel(context.WithoutCancel(b.Context()))
			var running sync.WaitGroup
			running.Go(func() { _ = consumer.Run(ctx) })
			b.Cleanup(running.Wait)
			b.Cleanup(stop)
			var mu sync.Mutex
			var took []time.Duration
			var key atomic.Int64
			b.ResetTimer()
			b.SetParallelism(8)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					began := time.Now()
					call := &caller.Call{Service: "echo", Action: "GET_ECHO", Lane: "item:" + strconv.FormatInt(key.Add(1)%1000, 10)}
					if _, err := client.Do(b.Context(), call); err != nil {
						b.Error(err)
						return
					}
					mu.Lock()
					took = append(took, time.Since(began))
					mu.Unlock()
				}
			})
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
		})
	}
}
