package lograte

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestLinesOverTheLimitAreCounted(t *testing.T) {
	t.Parallel()
	var l Limiter
	now := time.Now()
	written := 0
	for range 1000 {
		if _, ok := l.take(now); ok {
			written++
		}
	}
	assert.Equal(t, Limit, written)
	told, ok := l.take(now.Add(Interval))
	assert.True(t, ok)
	assert.Equal(t, []any{"dropped", 1000 - Limit}, told)
	told, ok = l.take(now.Add(Interval))
	assert.True(t, ok)
	assert.Empty(t, told, "they were told once")
}

func TestTheNextLineTellsTheNumber(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	l := Limiter{dropped: 7}
	l.Warn(slog.New(slog.NewTextHandler(&text, nil)), "unreadable", "service", "users")
	assert.Contains(t, text.String(), "msg=unreadable service=users dropped=7")
}
