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

// begin begins the span of a request. What the request calls continues it.
func (s *spans) begin(in *exchange.Request) {
	if s.tracer == nil {
		return
	}
	_, in.Span = s.tracer.Start(context.Background(), in.Trace, knownMethod(in.Method), trace.SpanKindServer)
	in.Trace = tracing.TraceParent(in.Span.SpanContext())
}

// ended ends the span of a request that was answered.
func (s *spans) ended(in *exchange.Request) {
	if in.Span == nil {
		return
	}
	if in.Span.IsRecording() {
		s.describe(in)
		s.replied(in)
	}
	in.Span.End()
}

// describe sets name, attributes and status of a span. The path is left out: its segments
// are arguments.
func (s *spans) describe(in *exchange.Request) {
	o, span := &in.Outcome, in.Span
	if in.Method == "" { // a call of a socket
		span.SetName(strings.TrimSpace(tracing.Clean(in.Service) + " " + tracing.Clean(in.Action)))
		span.SetAttributes(attribute.String("network.protocol.name", "websocket"), attribute.Int(tracing.Status, o.Status))
	} else {
		method, name := knownMethod(in.Method), knownMethod(in.Method)
		if route := routeOf(in); route != "" {
			name += " " + route
			span.SetAttributes(attribute.String("http.route", route))
		}
		if method == otherMethod {
			method = "_OTHER"
		}
		span.SetName(name)
		span.SetAttributes(attribute.String("http.request.method", method), attribute.String("url.scheme", s.scheme), attribute.Int("http.response.status_code", o.Status))
	}
	for _, text := range [...]struct{ name, value string }{
		{tracing.Service, in.Service}, {tracing.Action, in.Action}, {tracing.Version, in.Version}, {tracing.RequestID, in.RequestID},
		{tracing.CorrelationID, in.ID.String()}, {tracing.Cache, o.Cache}, {tracing.Worker, o.Worker}, {"error.type", string(o.Refused)},
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
	if route != "" && in.Version != "" {
		route = "/" + in.Version + route
	}
	return tracing.Clean(route)
}

// otherMethod is the name of a span whose method is not known, as the semantic conventions
// of OpenTelemetry ask for.
const otherMethod = "HTTP"

// knownMethod returns the method of a request; otherMethod for one that HTTP does not
// define.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodOptions, http.MethodConnect, http.MethodTrace:
		return method
	case "":
		return "call"
	default:
		return otherMethod
	}
}
