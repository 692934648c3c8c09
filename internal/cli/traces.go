package cli

import (
	"context"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/oskadev/mailroom/internal/tracing/otlp"
)

// flushLimit is the time in which the last spans have to be exported when a command ends.
const flushLimit = 5 * time.Second

// startTraces exports the spans of a command where the environment asks for it. Call stop
// when the command has drained: it exports the last spans, within what is left of the drain
// limit. Variables with a bad value leave the command without traces.
func startTraces(ctx context.Context, command string, drain time.Duration, log *slog.Logger) (stop func()) {
	export, err := otlp.Start(ctx, otlp.Config{Getenv: os.Getenv, Service: "mailroom-" + command, Version: toolVersion(), Log: log})
	if err != nil {
		log.ErrorContext(ctx, "no traces are exported", "error", err)
	}
	if export == nil {
		return func() {}
	}
	var told atomic.Pointer[time.Time] // when the command was told to stop
	detach := context.AfterFunc(ctx, func() {
		now := time.Now()
		told.Store(&now)
	})
	return func() {
		detach()
		limit := flushLimit
		if at := told.Load(); at != nil {
			limit = min(limit, drain-time.Since(*at))
		}
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
		defer cancel()
		export(ending)
	}
}
