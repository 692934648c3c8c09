package cache

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/oskadev/mailroom/internal/backoff"
	"github.com/oskadev/mailroom/internal/redismemory"
)

// memoryMonitor watches whether Redis has room for more entries. A Redis that
// evicts nothing must keep memory for its other data.
type memoryMonitor struct {
	rdb     redis.Cmdable
	timeout time.Duration
	share   float64
	log     *slog.Logger
	full    atomic.Bool
}

func newMemoryMonitor(rdb redis.Cmdable, cfg *Config) *memoryMonitor {
	return &memoryMonitor{rdb: rdb, timeout: cfg.Timeout, share: cfg.FillShare, log: cfg.Logger}
}

// run reads the memory usage each second until the context ends.
func (m *memoryMonitor) run(ctx context.Context) {
	for {
		m.check(ctx)
		if backoff.Pause(ctx, time.Second) != nil {
			return
		}
	}
}

// check reads the memory usage once. An error changes nothing: some servers do not
// support INFO, and some users may not call it.
func (m *memoryMonitor) check(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, m.timeout)
	defer cancel()
	info, err := m.rdb.Info(limited, "memory").Result()
	if err != nil {
		return
	}
	memory := redismemory.Of(info)
	full := memory.Policy == "noeviction" && memory.Over(m.share)
	switch before := m.full.Swap(full); {
	case full && !before:
		m.log.WarnContext(ctx, "Redis' memory is too full to store cache entries", "share", m.share)
	case before && !full:
		m.log.InfoContext(ctx, "Redis has memory for cache entries again", "share", m.share)
	}
}
