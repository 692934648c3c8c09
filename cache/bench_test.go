//go:build unix

package cache

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/testsupport"
)

// BenchmarkDo measures a query for each place of its answer, from many callers at the
// same time. It reports the CPU time per query of this process and of Redis, which
// depends less on other load than the time per query does.
func BenchmarkDo(b *testing.B) {
	for name, localBytes := range map[string]int64{"local": 1 << 20, "shared": -1, "miss": -1} {
		b.Run(name, func(b *testing.B) {
			options, err := redis.ParseURL(testsupport.StartRedis(b).URL())
			require.NoError(b, err)
			rdb := redis.NewClient(options)
			c, err := New(rdb, Config{LocalBytes: localBytes, Logger: slog.New(slog.DiscardHandler)})
			require.NoError(b, err)
			b.Cleanup(func() {
				c.Close()
				_ = rdb.Close()
			})
			run := func(context.Context) Outcome { return Outcome{Value: "answer", Store: true} }
			var queries atomic.Int64
			do := func() {
				n := queries.Add(1)
				if name != "miss" {
					n %= 1000
				}
				q := query(strconv.FormatInt(n, 10))
				q.Inline = true // as the gateway does
				if _, err := c.Do(b.Context(), q, run); err != nil {
					b.Error(err)
				}
			}
			for range 2000 { // entries exist and are known
				do()
			}
			b.ReportAllocs()
			b.SetParallelism(32)
			own, theirs := ownCPU(), redisCPU(b, rdb)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					do()
				}
			})
			b.StopTimer()
			b.ReportMetric(float64(ownCPU()-own)/float64(b.N), "cpu-ns/op")
			b.ReportMetric(float64(redisCPU(b, rdb)-theirs)/float64(b.N), "redis-ns/op")
		})
	}
}

// ownCPU returns the CPU time of this process.
func ownCPU() time.Duration {
	var used syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &used) // fails only for another argument
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// redisCPU returns the CPU time of Redis.
func redisCPU(b *testing.B, rdb *redis.Client) time.Duration {
	b.Helper()
	info, err := rdb.Info(b.Context(), "cpu").Result()
	require.NoError(b, err)
	total := 0.0
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name == "used_cpu_user" || name == "used_cpu_sys" {
			seconds, err := strconv.ParseFloat(value, 64)
			require.NoError(b, err)
			total += seconds
		}
	}
	return time.Duration(total * float64(time.Second))
}
