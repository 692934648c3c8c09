package cache

import (
	"context"
	"log/slog"
	"strconv"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/testsupport"
)

// BenchmarkDo is a question to each place where its answer can be.
func BenchmarkDo(b *testing.B) {
	for name, near := range map[string]int64{"near": 1 << 20, "shared": -1, "miss": -1} {
		b.Run(name, func(b *testing.B) {
			options, err := redis.ParseURL(testsupport.StartRedis(b).URL())
			require.NoError(b, err)
			rdb := redis.NewClient(options)
			c, err := New(rdb, Config{LocalBytes: near, Logger: slog.New(slog.DiscardHandler)})
			require.NoError(b, err)
			b.Cleanup(func() {
				c.Close()
				_ = rdb.Close()
			})
			run := func(context.Context) Outcome { return Outcome{Value: "answer", Store: true} }
			n := 0
			b.ReportAllocs()
			for b.Loop() {
				q := query("7")
				if name == "miss" {
					n++
					q = query(strconv.Itoa(n))
				}
				if _, err := c.Do(b.Context(), q, run); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
