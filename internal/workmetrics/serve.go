package workmetrics

import (
	"context"
	"log/slog"
	"sync"

	"github.com/oskadev/mailroom/internal/metrics"
	"github.com/oskadev/mailroom/internal/ops"
)

// Serve serves /metrics, /healthz and /readyz of a worker process on an address, until
// stop is called: also while the process drains. ready returns why the process cannot
// work; nil: it can.
func Serve(ctx context.Context, address string, ready func() error, log *slog.Logger) (m *Meter, stop func(), err error) {
	ln, err := ops.Listen(ctx, address, true, log)
	if err != nil {
		return nil, nil, err
	}
	m = New()
	mux := ops.Handler(ready)
	mux.Handle("GET /metrics", metrics.Handler(m.Registry))
	serving, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var done sync.WaitGroup
	done.Go(func() {
		if err := ops.Serve(serving, ln, mux, log); err != nil {
			log.ErrorContext(serving, "the pages of the operator are not served any more", "error", err)
		}
	})
	return m, func() {
		cancel()
		done.Wait()
	}, nil
}
