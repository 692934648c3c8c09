package tracing

import (
	"context"
	"encoding/hex"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace"
)

// scope names this module as the source of its spans.
const scope = "github.com/oskadev/mailroom"

// Tracer makes spans. It is safe for concurrent use; nil: no spans are made.
type Tracer struct {
	tracer  trace.Tracer
	options [trace.SpanKindConsumer + 1][]trace.SpanStartOption // by kind: made once, to save memory
}

// New returns a tracer of a provider; nil if the provider makes no spans, as that of a
// program without an OpenTelemetry SDK.
func New(p trace.TracerProvider) *Tracer {
	t := &Tracer{tracer: p.Tracer(scope)}
	// A provider that makes no spans returns the parent. This one is not sampled, so that
	// others usually record nothing.
	parent := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, Remote: true})
	_, span := t.tracer.Start(trace.ContextWithRemoteSpanContext(context.Background(), parent), "probe") //nolint:spancheck // it is not exported
	if span.SpanContext().SpanID() == parent.SpanID() || !span.SpanContext().IsValid() {
		return nil //nolint:spancheck // likewise
	}
	for kind := range t.options {
		t.options[kind] = []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKind(kind))}
	}
	return t //nolint:spancheck // likewise
}

type key struct{}

// With returns a context that carries a provider to api.New and workers.Run.
func With(ctx context.Context, p trace.TracerProvider) context.Context {
	return context.WithValue(ctx, key{}, p)
}

// From returns a tracer of the provider that a context carries, or otherwise of the
// process (otel.SetTracerProvider).
func From(ctx context.Context) *Tracer {
	if p, ok := ctx.Value(key{}).(trace.TracerProvider); ok {
		return New(p)
	}
	return New(otel.GetTracerProvider())
}

// Start begins a span below a parent in another process; without a valid parent, it begins
// a trace. The returned context is ctx with the span. The decision of the parent counts:
// ask Unsampled before.
func (t *Tracer) Start(ctx context.Context, parent trace.SpanContext, name string, kind trace.SpanKind, more ...trace.SpanStartOption) (context.Context, trace.Span) {
	if parent.IsValid() {
		ctx = trace.ContextWithRemoteSpanContext(ctx, parent)
	}
	options := t.options[kind]
	if len(more) > 0 {
		options = append(options[:1:1], more...)
	}
	return t.tracer.Start(ctx, name, options...)
}

// Unsampled reports whether a trace exists that is not recorded. No span is made then,
// which is most of the cost of a trace that is not sampled.
func Unsampled(parent trace.SpanContext) bool { return parent.IsValid() && !parent.IsSampled() }

// Child begins a span below another one, in the same process.
func (t *Tracer) Child(parent trace.Span, name string, more ...trace.SpanStartOption) trace.Span {
	_, span := t.tracer.Start(trace.ContextWithSpan(context.Background(), parent), name, more...)
	return span
}

// Parse returns the context of a traceparent. It is invalid where the traceparent is.
func Parse(traceparent string) trace.SpanContext {
	if len(traceparent) < 55 || traceparent[2] != '-' || traceparent[35] != '-' || traceparent[52] != '-' {
		return trace.SpanContext{}
	}
	id, err := trace.TraceIDFromHex(traceparent[3:35])
	if err != nil {
		return trace.SpanContext{}
	}
	parent, err := trace.SpanIDFromHex(traceparent[36:52])
	if err != nil {
		return trace.SpanContext{}
	}
	flags := trace.TraceFlags(unhex(traceparent[53])<<4 | unhex(traceparent[54]))
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: id, SpanID: parent, TraceFlags: flags, Remote: true})
}

// TraceParent returns the traceparent of a span context; empty for an invalid one.
func TraceParent(c trace.SpanContext) string {
	if !c.IsValid() {
		return ""
	}
	var text [55]byte
	return string(Append(text[:0], c))
}

// Append appends the traceparent of a span context, in 55 bytes.
func Append(dst []byte, c trace.SpanContext) []byte {
	id, span := c.TraceID(), c.SpanID()
	dst = hex.AppendEncode(append(dst, "00-"...), id[:])
	dst = hex.AppendEncode(append(dst, '-'), span[:])
	return hex.AppendEncode(append(dst, '-'), []byte{byte(c.TraceFlags())})
}

// TraceParentIn returns the traceparent of the span in a context; empty: there is none.
func TraceParentIn(ctx context.Context) string { return TraceParent(trace.SpanContextFromContext(ctx)) }

// unhex returns the value of a hexadecimal digit; 0 for any other byte.
func unhex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	default:
		return 0
	}
}

// maxText is the maximum length of a text in a span, in bytes.
const maxText = 128

// Clean returns a text from outside as a span may hold it: at most 128 bytes of printable
// UTF-8. An exporter rejects any other encoding, with all spans of its batch.
func Clean(text string) string {
	if len(text) > maxText {
		text = text[:maxText]
	}
	plain := func(r rune) bool { return r != utf8.RuneError && unicode.IsPrint(r) }
	if strings.IndexFunc(text, func(r rune) bool { return !plain(r) }) < 0 {
		return text
	}
	return strings.Map(func(r rune) rune {
		if plain(r) {
			return r
		}
		return '?'
	}, text)
}
