// Package lograte bounds the log lines that services and clients can cause at will.
package lograte

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Limit is how many lines of a Limiter are written in one Interval.
const (
	Limit    = 10
	Interval = 10 * time.Second
)

// Limiter writes at most Limit lines in an Interval and drops the others. The first line of
// the next interval has their number as the attribute "dropped". The zero value is ready to
// use. It is safe for concurrent use.
type Limiter struct {
	mu      sync.Mutex
	began   time.Time
	written int
	dropped int
}

// Log writes a line to a logger, or drops it.
func (l *Limiter) Log(ctx context.Context, log *slog.Logger, level slog.Level, message string, args ...any) {
	dropped, ok := l.take(time.Now())
	if !ok {
		return
	}
	if dropped > 0 {
		args = append(args, "dropped", dropped)
	}
	log.Log(ctx, level, message, args...) //nolint:sloglint // the messages of the callers are constants
}

// take reports whether a line may be written, and the number of those dropped before.
func (l *Limiter) take(now time.Time) (dropped int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.began) >= Interval {
		l.began, l.written = now, 0
	}
	if l.written >= Limit {
		l.dropped++
		return 0, false
	}
	l.written++
	dropped, l.dropped = l.dropped, 0
	return dropped, true
}
