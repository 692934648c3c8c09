package bus

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/testsupport"
)

// The bytes of one request and its reply, as they are under load.
const (
	benchID       = "0190a5b4-7c3e-7d52-9f3e-0123456789ab"
	benchMeta     = `{"caller":"api.k2jx7mqa5zt4wv6e"}`
	benchEnvelope = `{"ok":true,"result":{"id":1,"name":"Oska","email":"oska@example.com"}}`
)

func benchFields() []string {
	return []string{
		"v", ProtocolVersion, "id", benchID, "action", "GET_ECHO", "args", "[1]",
		"reply", "mailroom:replies:api.k2jx7mqa5zt4wv6e:{echo}", "deadline", "1750000010000", "meta", benchMeta,
	}
}

func BenchmarkParseRequest(b *testing.B) {
	fields := benchFields()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parseRequest(fields); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkStreamEntries reads the answer of one XREADGROUP with 64 entries.
func BenchmarkStreamEntries(b *testing.B) {
	const entries = 64
	var reply strings.Builder
	bulk := func(s string) { fmt.Fprintf(&reply, "$%d\r\n%s\r\n", len(s), s) }
	reply.WriteString("*1\r\n*2\r\n")
	bulk("mailroom:{echo}:requests")
	fmt.Fprintf(&reply, "*%d\r\n", entries)
	for i := range entries {
		reply.WriteString("*2\r\n")
		bulk(fmt.Sprintf("1750000000000-%d", i))
		fields := benchFields()
		fmt.Fprintf(&reply, "*%d\r\n", len(fields))
		for _, field := range fields {
			bulk(field)
		}
	}
	text := reply.String()
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		batch, err := readStream(text)
		if err != nil || len(batch) != entries || batch[0].invalid != nil {
			b.Fatal(len(batch), err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/entries, "ns/entry")
}

// benchEnding is what a worker settles.
func benchEnding() *ending {
	meta := ReplyMeta{Worker: "echo.q4n7zj2mx6tbw5ra", Attempt: 1, Queue: 1500 * time.Microsecond, Run: 42 * time.Microsecond}
	return &ending{
		delivery: &Delivery{Entry: "1750000000000-0", Request: Request{ID: benchID}},
		state:    StateDone, meta: meta.Append(nil), envelope: []byte(benchEnvelope),
	}
}

// BenchmarkReplyLine writes one line of a PUBLISH, and reads it as the asker does.
func BenchmarkReplyLine(b *testing.B) {
	s, e := &settler{}, benchEnding()
	line := s.line(nil, nil, nil, e)
	b.Run("append", func(b *testing.B) {
		dst := make([]byte, 0, 2*len(line))
		b.ReportAllocs()
		for b.Loop() {
			dst = s.line(nil, nil, dst[:0], e)
		}
	})
	b.Run("parse", func(b *testing.B) {
		text := string(bytes.TrimSpace(line))
		b.ReportAllocs()
		for b.Loop() {
			name, _, err := parseReplyLine(text)
			if err == nil {
				_, err = uuid.Parse(name)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkReplyMeta(b *testing.B) {
	meta := ReplyMeta{Worker: "echo.q4n7zj2mx6tbw5ra", Attempt: 1, Queue: 1500 * time.Microsecond, Run: 42 * time.Microsecond}
	b.Run("append", func(b *testing.B) {
		dst := make([]byte, 0, 256)
		b.ReportAllocs()
		for b.Loop() {
			dst = meta.Append(dst[:0])
		}
	})
	b.Run("parse", func(b *testing.B) {
		text := string(meta.Append(nil))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := ParseReplyMeta(text); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkFingerprint(b *testing.B) {
	r := &Request{Action: "UPDATE_USER", Args: `[1,{"name":"Oska","email":"oska@example.com"}]`}
	b.ReportAllocs()
	for b.Loop() {
		if len(r.fingerprint()) != 64 {
			b.Fatal("not a SHA-256")
		}
	}
}

// BenchmarkWaiters registers a waiter and wakes it, on all processors at once.
func BenchmarkWaiters(b *testing.B) {
	table := newWaiters()
	r := Reply{Meta: "-", Envelope: benchEnvelope}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		w := newWaiter()
		w.service = "echo"
		id := uuid.New()
		for n := byte(0); pb.Next(); n++ {
			id[15] = n
			table.add(id, w)
			table.wake(id, "echo", r)
			<-w.wake
		}
	})
}

// BenchmarkClientDo is one request to a worker and back, through a real Redis,
// for each of 64 callers: client, Redis and worker share the processors.
func BenchmarkClientDo(b *testing.B) {
	conn, err := Connect(testsupport.StartRedis(b).URL(), Options{})
	require.NoError(b, err)
	b.Cleanup(func() { _ = conn.Close() })
	consumer, err := NewConsumer(conn, ConsumerConfig{
		Manifest: &Manifest{Service: "echo", Version: "1.0.0", Protocol: 1},
		Run: func(context.Context, *Delivery) (Outcome, bool) {
			return Outcome{Envelope: []byte(benchEnvelope)}, true
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
	client := NewClient(conn, ClientConfig{})
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
					ask := &Ask{Service: "echo", Action: "GET_ECHO", Args: "[1]", Meta: benchMeta, Safe: kind.safe}
					if kind.lanes > 0 {
						ask.Lane = "item:" + strconv.FormatInt(key.Add(1)%kind.lanes, 10)
					}
					reply, err := client.Do(b.Context(), ask)
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

// BenchmarkBesideHotLane is how long the slowest hundredth of requests of other
// lanes takes while 10,000 wait in one, and while none does.
func BenchmarkBesideHotLane(b *testing.B) {
	for _, waiting := range []int{0, 10_000} {
		b.Run(strconv.Itoa(waiting), func(b *testing.B) {
			conn, err := Connect(testsupport.StartRedis(b).URL(), Options{})
			require.NoError(b, err)
			b.Cleanup(func() { _ = conn.Close() })
			consumer, err := NewConsumer(conn, ConsumerConfig{
				Manifest: &Manifest{Service: "echo", Version: "1.0.0", Protocol: 1}, DrainLimit: time.Millisecond,
				Run: func(ctx context.Context, d *Delivery) (Outcome, bool) {
					if d.Request.Lane == "hot" { // as slow as keeps it full
						select {
						case <-time.After(5 * time.Millisecond):
						case <-ctx.Done():
						}
					}
					return Outcome{Envelope: []byte(benchEnvelope)}, true
				},
			})
			require.NoError(b, err)
			client := NewClient(conn, ClientConfig{})
			b.Cleanup(client.Close)
			require.NoError(b, client.WaitReady(b.Context()))
			for range waiting {
				_, err := client.Send(b.Context(), &Ask{Service: "echo", Action: "GET_ECHO", Lane: "hot", Endless: true})
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
					ask := &Ask{Service: "echo", Action: "GET_ECHO", Lane: "item:" + strconv.FormatInt(key.Add(1)%1000, 10)}
					if _, err := client.Do(b.Context(), ask); err != nil {
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
