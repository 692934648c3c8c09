package consumer

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/tracing"
)

// traced are the spans of a delivery.
type traced struct {
	run    trace.Span
	settle trace.Span // nil: the run has not ended, has no outcome, or is not recorded
}

// tracer makes the spans of one worker.
type tracer struct {
	*tracing.Tracer

	w     *worker
	names map[string]string // of runs, by action
}

// newTracer returns nil where no spans are made.
func newTracer(w *worker) *tracer {
	if w.cfg.Tracer == nil {
		return nil
	}
	t := &tracer{Tracer: w.cfg.Tracer, w: w, names: make(map[string]string)}
	for i := range w.cfg.Manifest.Actions {
		action := w.cfg.Manifest.Actions[i].Name
		t.names[action] = "run " + w.service + " " + tracing.Clean(action)
	}
	return t
}

// run runs a request within a span. A request that its caller does not trace gets none.
func (t *tracer) run(ctx context.Context, d *Delivery, began time.Time) Outcome {
	parent := tracing.Parse(d.Request.TraceParent())
	if tracing.Unsampled(parent) {
		return t.w.cfg.Run(trace.ContextWithRemoteSpanContext(ctx, parent), d)
	}
	return t.trace(ctx, d, parent, began)
}

// trace runs a request within a span.
func (t *tracer) trace(ctx context.Context, d *Delivery, parent trace.SpanContext, began time.Time) (o Outcome) {
	name := t.names[d.Request.Action]
	if name == "" { // of a composition, or not declared: the caller chose it
		name = "run " + t.w.service
	}
	ctx, span := t.Start(ctx, parent, name, trace.SpanKindConsumer, t.links(d, parent)...)
	d.traced = &traced{run: span}
	defer func() { t.ended(d, &o) }() // also when the handler ends its goroutine
	if span.IsRecording() {
		t.describe(span, d)
		t.queued(d, parent, began, "")
	}
	return t.w.cfg.Run(ctx, d)
}

// links returns the link of a redelivery to the context of its request.
func (t *tracer) links(d *Delivery, request trace.SpanContext) []trace.SpanStartOption {
	if d.Attempt <= 1 || !request.IsValid() {
		return nil
	}
	return []trace.SpanStartOption{trace.WithLinks(trace.Link{
		SpanContext: request, Attributes: []attribute.KeyValue{attribute.Int(tracing.Attempt, d.Attempt)},
	})}
}

// describe sets the attributes of a run.
func (t *tracer) describe(span trace.Span, d *Delivery) {
	span.SetAttributes(
		attribute.String("messaging.system", "mailroom"),
		attribute.String("messaging.destination.name", t.w.service),
		attribute.String("messaging.consumer.group.name", wire.Group),
		attribute.String("messaging.operation.name", "run"),
		attribute.String("messaging.operation.type", "process"),
		attribute.String("messaging.message.id", tracing.Clean(d.Request.ID)),
		attribute.String("messaging.client.id", t.w.id),
		attribute.String(tracing.Service, t.w.service),
		attribute.Int(tracing.Attempt, d.Attempt),
	)
	if t.names[d.Request.Action] != "" || t.w.cfg.Hidden {
		action := tracing.Clean(d.Request.Action)
		span.SetName("run " + t.w.service + " " + action)
		span.SetAttributes(attribute.String(tracing.Action, action))
	}
}

// queued makes the span of the time in the mailbox, which ended just now. state is how a
// delivery that did not run ended, or empty.
func (t *tracer) queued(d *Delivery, parent trace.SpanContext, now time.Time, state string) {
	if !parent.IsValid() { // the run begins the trace
		parent = d.traced.run.SpanContext()
	}
	_, span := t.Start(context.Background(), parent, "queue "+t.w.service, trace.SpanKindInternal, trace.WithTimestamp(now.Add(-d.Queued)))
	span.SetAttributes(attribute.String(tracing.Service, t.w.service), attribute.Int(tracing.Attempt, d.Attempt))
	if state != "" {
		span.SetAttributes(attribute.String(tracing.State, state))
		span.SetStatus(codes.Error, "the request did not run")
	}
	span.End(trace.WithTimestamp(now))
}

// refused makes the span of a delivery that did not run.
func (t *tracer) refused(d *Delivery, state string) {
	if parent := tracing.Parse(d.Request.TraceParent()); parent.IsSampled() {
		t.queued(d, parent, time.Now(), state)
	}
}

// ended ends the span of a run, and begins that of settling its outcome.
func (t *tracer) ended(d *Delivery, o *Outcome) {
	span := d.traced.run
	if !span.IsRecording() {
		span.End()
		return
	}
	switch o.kind {
	case kindDone:
		status, code := wire.StatusOf(string(o.envelope), o.meta.Status), ""
		if _, failure := wire.ParseEnvelope(string(o.envelope)); failure != nil && status >= 400 {
			code = string(failure.Code)
		}
		tracing.SetStatus(span, status, code)
	case kindExpired, kindDead, kindCancelled:
		span.SetAttributes(attribute.String(tracing.State, o.state()))
		span.SetStatus(codes.Error, "")
	default:
		span.SetStatus(codes.Error, "no outcome: the request is delivered again")
	}
	if o.settles() {
		d.traced.settle = t.Child(span, "settle "+t.w.service)
	}
	span.End()
}

// settled reports that Redis took the outcome, or in failed why it did not, and ends the span
// of settling it. Only the first call counts.
func (d *Delivery) settled(failed error) {
	if after := d.AfterSettled; after != nil {
		d.AfterSettled = nil
		if failed == nil {
			after()
		}
	}
	if d.traced == nil || d.traced.settle == nil {
		return
	}
	if failed != nil {
		d.traced.settle.SetStatus(codes.Error, failed.Error())
	}
	d.traced.settle.End()
	d.traced.settle = nil
}

// Reasons for which an outcome has no effect.
var (
	errLate      = errors.New("the worker no longer owns the request")
	errUnsettled = errors.New("the outcome was not settled: the request is delivered again")
)

// TraceParent returns the trace context for the calls of a run: that of its span, or of the
// request where no spans are made.
func (d *Delivery) TraceParent() string {
	if d.traced == nil {
		return d.Request.TraceParent()
	}
	return tracing.TraceParent(d.traced.run.SpanContext())
}

// LogIDs returns the IDs of a log line about the delivery, as one attribute.
func (d *Delivery) LogIDs() slog.Attr {
	return wire.LogIDs(d.Request.ParseMeta().RequestID, d.Request.ID, d.TraceParent())
}
