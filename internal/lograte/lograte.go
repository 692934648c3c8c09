// Package lograte bounds the log lines that services and clients can cause at will.
package lograte

import (
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

// Warn writes a line of level WARN to a logger, or drops it.
func (l *Limiter) Warn(log *slog.Logger, message string, args ...any) {
	if told, ok := l.take(time.Now()); ok {
		log.Warn(message, append(args, told...)...) //nolint:sloglint // the messages of the callers are constants
	}
}

// Error writes a line of level ERROR to a logger, or drops it.
func (l *Limiter) Error(log *slog.Logger, message string, args ...any) {
	if told, ok := l.take(time.Now()); ok {
		log.Error(message, append(args, told...)...) //nolint:sloglint // the messages of the callers are constants
	}
}

// take reports whether a line may be written, and returns the attribute with the number of
// those dropped before, if there are any.
func (l *Limiter) take(now time.Time) (told []any, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.began) >= Interval {
		l.began, l.written = now, 0
	}
	if l.written >= Limit {
		l.dropped++
		return nil, false
	}
	l.written++
	if l.dropped > 0 {
		told = []any{"dropped", l.dropped}
		l.dropped = 0
	}
	return told, true
}
