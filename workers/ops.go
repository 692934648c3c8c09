package workers

import (
	"context"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/consumer"
	"github.com/oskadev/mailroom/bus/history"
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

// observer hears of the deliveries of a service that have ended.
type observer struct {
	service  *Service
	meter    *workmetrics.Meter // nil: they are not counted
	recorder *history.Recorder  // nil: they are not recorded
}

func (o *observer) needed() bool { return o.meter != nil || o.recorder != nil }

// ended counts and records a delivery.
func (o *observer) ended(worker string, d *consumer.Delivery, e *consumer.Ended) {
	o.recorder.Ended(&history.Delivery{
		Request: &d.Request, Worker: worker, Attempt: d.Attempt, State: e.State, Status: e.Status, Queue: d.Queued, Run: e.Took, Outcome: e.Envelope,
	})
	if o.meter == nil {
		return
	}
	r := workmetrics.Run{
		Service: o.service.name, Attempt: d.Attempt, Status: e.Status, Queue: d.Queued, Took: e.Took,
		Expired: e.State == wire.StateExpired, Dead: e.State == wire.StateDead,
	}
	if o.service.byName[d.Request.Action] != nil {
		r.Action = d.Request.Action
	}
	o.meter.Ended(&r)
}
