package api

import (
	"context"
	"net/http"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/oskadev/mailroom/api/exchange"
	"github.com/oskadev/mailroom/internal/tracing"
)

// spans makes the spans of requests.
type spans struct {
	tracer *tracing.Tracer // nil: none is made
	scheme string
}

// begin begins the span of a request. What the request calls continues it. A trace that is
// not sampled has no span, and goes on all the same, so that no worker samples it anew.
func (s *spans) begin(in *exchange.Request) {
	if s.tracer == nil {
		return
	}
	parent := tracing.Parse(in.Trace)
	if tracing.Unsampled(parent) {
		return
	}
	name := in.Method
	if name == "" { // a call of a socket
		name = "call"
	}
	_, span := s.tracer.Start(context.Background(), parent, name, trace.SpanKindServer)
	in.Continue(func(dst []byte) []byte { return tracing.Append(dst, span.SpanContext()) })
	if span.IsRecording() {
		in.Span = span
	}
}

// ended ends the span of a request that was answered.
func (s *spans) ended(in *exchange.Request) {
	if in.Span != nil {
		s.describe(in)
		s.replied(in)
		in.Span.End()
	}
}

// describe sets name, attributes and status of a span. The path is left out: its segments
// are arguments.
func (s *spans) describe(in *exchange.Request) {
	o, span := &in.Outcome, in.Span
	if in.Method == "" { // a call of a socket
		span.SetName(strings.TrimSpace(tracing.Clean(in.Service) + " " + tracing.Clean(in.Action)))
		span.SetAttributes(attribute.String("network.protocol.name", "websocket"), attribute.Int(tracing.Status, o.Status))
	} else {
		name := in.Method // one that HTTP defines: others are refused before
		if route := routeOf(in); route != "" {
			name += " " + route
			span.SetAttributes(attribute.String("http.route", route))
		}
		span.SetName(name)
		span.SetAttributes(attribute.String("http.request.method", in.Method), attribute.String("url.scheme", s.scheme), attribute.Int("http.response.status_code", o.Status))
	}
	for _, text := range [...]struct{ name, value string }{
		{tracing.Service, in.Service},
		{tracing.Action, in.Action},
		{tracing.Version, in.Version},
		{tracing.RequestID, in.RequestID},
		{tracing.CorrelationID, in.ID.String()},
		{tracing.Cache, o.Cache},
		{tracing.Worker, o.Worker},
		{"error.type", string(o.Refused)},
	} {
		if text.value != "" {
			span.SetAttributes(attribute.String(text.name, tracing.Clean(text.value)))
		}
	}
	if o.Attempt > 0 {
		span.SetAttributes(attribute.Int(tracing.Attempt, o.Attempt))
	}
	if o.Status >= http.StatusInternalServerError {
		span.SetStatus(codes.Error, "")
	}
}

// replied makes the span of the reply: the part of the request that was neither in the
// mailbox nor in the handler.
func (s *spans) replied(in *exchange.Request) {
	o := &in.Outcome
	if !o.Ran || o.Worker == "" {
		return
	}
	ended := in.Began.Add(o.Total)
	ran := in.Began.Add(min(o.Queue+o.Run, o.Total))
	s.tracer.Child(in.Span, "reply "+tracing.Clean(in.Service), trace.WithTimestamp(ran)).End(trace.WithTimestamp(ended))
}

// routeOf returns the pattern of the path; empty: no route.
func routeOf(in *exchange.Request) string {
	_, route, found := strings.Cut(in.Route, " ")
	if !found {
		route = in.Route
	}
	if prefix := "/" + in.Version; route != "" && in.Version != "" && !strings.HasPrefix(route, prefix+"/") {
		route = prefix + route // of a service; that of a version has it
	}
	return tracing.Clean(route)
}
