package workers

import (
	"context"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/consumer"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/workmetrics"
)

// serveOps serves the pages of the operator, where the config asks for them. It returns
// the metrics of the process, nil without pages, and a function that ends serving.
func serveOps(ctx context.Context, conn *bus.Conn, cfg Config) (*workmetrics.Meter, func(), error) {
	if cfg.OpsListen == "" {
		return workmetrics.From(ctx), func() {}, nil
	}
	return workmetrics.Serve(ctx, cfg.OpsListen, func() error { return conn.Ping(ctx) }, cfg.Logger)
}

// ended returns the function that counts the deliveries of a service; nil: they are not
// counted.
func ended(s *Service, meter *workmetrics.Meter) func(*consumer.Delivery, *consumer.Ended) {
	if meter == nil {
		return nil
	}
	return func(d *consumer.Delivery, e *consumer.Ended) {
		r := workmetrics.Run{
			Service: s.name, Attempt: d.Attempt, Status: e.Status, Queue: d.Queued, Took: e.Took,
			Expired: e.State == wire.StateExpired, Dead: e.State == wire.StateDead,
		}
		if s.byName[d.Request.Action] != nil {
			r.Action = d.Request.Action
		}
		meter.Ended(&r)
	}
}
