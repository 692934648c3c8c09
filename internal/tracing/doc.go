// Package tracing makes OpenTelemetry spans, and reads and writes the W3C trace context
// (https://www.w3.org/TR/trace-context/) that requests carry.
//
// A nil *Tracer is off: code that makes spans asks for it first, so that a process without
// traces pays for nothing. Spans hold no arguments, results, paths or credentials.
//
// It does not export spans: package otlp below it does so for the commands of this module.
// Programs that use package workers or api set a TracerProvider of their own.
//
// Open tracing.go first.
package tracing
