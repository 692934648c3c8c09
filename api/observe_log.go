package api

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/oskadev/mailroom/api/auth/keys"
	"github.com/oskadev/mailroom/api/exchange"
)

// accessLog writes a line for each answered request, up to a rate. It writes no query, no
// body and no credential.
type accessLog struct {
	log     *slog.Logger
	limit   *rate.Limiter
	leftOut atomic.Uint64 // since the last line
}

// newAccessLog returns a log of at most perSecond lines a second; nil for 0.
func newAccessLog(log *slog.Logger, perSecond int) *accessLog {
	if perSecond <= 0 {
		return nil
	}
	return &accessLog{log: log, limit: rate.NewLimiter(rate.Limit(perSecond), perSecond)}
}

// maxLoggedPath is how much of a path a line holds, in bytes.
const maxLoggedPath = 256

// ended logs a request that was answered.
func (l *accessLog) ended(ctx context.Context, in *exchange.Request) {
	if l == nil {
		return
	}
	if !l.limit.Allow() {
		l.leftOut.Add(1)
		return
	}
	o := &in.Outcome
	attributes := []slog.Attr{
		slog.String("method", in.Method), slog.String("path", keys.Redact(in.Path[:min(len(in.Path), maxLoggedPath)])), slog.Int("status", o.Status),
		slog.Duration("took", o.Total.Round(time.Microsecond)), in.LogIDs(),
	}
	optional := func(name, value string) {
		if value != "" {
			attributes = append(attributes, slog.String(name, value))
		}
	}
	optional("service", in.Service)
	optional("action", in.Action)
	optional("version", in.Version)
	optional("refused", string(o.Refused))
	optional("cache", o.Cache)
	optional("worker", o.Worker)
	if in.Principal != nil {
		optional("principal", in.Principal.Subject)
	}
	if n := l.leftOut.Swap(0); n > 0 {
		attributes = append(attributes, slog.Uint64("left_out", n))
	}
	l.log.LogAttrs(ctx, slog.LevelInfo, "request", attributes...)
}
