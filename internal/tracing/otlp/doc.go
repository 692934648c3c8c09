// Package otlp exports the spans of a process to a collector, by OTLP over HTTP
// (https://opentelemetry.io/docs/specs/otlp/), as the standard environment variables of
// OpenTelemetry configure it. docs/reference/traces.md lists them.
//
// The official exporter otlptracehttp would do the same; it links gRPC. See
// docs/decisions/0022-own-otlp-client.md.
//
// Open otlp.go first.
package otlp
