package tracing

import (
	"context"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// Call is the span of a call that a handler or a composition makes; nil: none is made.
type Call struct{ span trace.Span }

// Call begins the span of a call, below the sampled span in ctx; without one, it returns
// nil. step is the name of the step of a
// composition; empty: a handler calls.
func (t *Tracer) Call(ctx context.Context, service, action, step string) *Call {
	if t == nil || !trace.SpanContextFromContext(ctx).IsSampled() {
		return nil
	}
	_, span := t.Start(ctx, trace.SpanContext{}, "call", trace.SpanKindClient)
	if span.IsRecording() {
		service, action = Clean(service), Clean(action)
		span.SetName("call " + service + " " + action)
		span.SetAttributes(attribute.String(Service, service), attribute.String(Action, action))
		if step != "" {
			span.SetAttributes(attribute.String(Step, step))
		}
	}
	return &Call{span}
}

// TraceParent returns the traceparent that the call sends: that of its span, or another
// one where no span is made.
func (c *Call) TraceParent(otherwise string) string {
	if c == nil {
		return otherwise
	}
	return TraceParent(c.span.SpanContext())
}

// End ends the span. source is where a cached or shared answer came from, or empty; status
// is the HTTP status of the answer, 0 for a call without one.
func (c *Call) End(source string, status int) {
	if c == nil {
		return
	}
	if c.span.IsRecording() {
		if source != "" {
			c.span.SetAttributes(attribute.String(Cache, source))
		}
		SetStatus(c.span, status, "")
	}
	c.span.End()
}

// SetStatus sets the HTTP status of an answer. From 500 on, the span is an error, with the
// code as its type, or else the status; 0 is an error too.
func SetStatus(span trace.Span, status int, code string) {
	if status == 0 {
		span.SetStatus(codes.Error, "no answer")
		return
	}
	span.SetAttributes(attribute.Int(Status, status))
	if status >= 400 {
		if code == "" {
			code = strconv.Itoa(status)
		}
		span.SetAttributes(attribute.String("error.type", Clean(code)))
	}
	if status >= 500 {
		span.SetStatus(codes.Error, "")
	}
}
