package otlp

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
	"golang.org/x/time/rate"
)

// Config configures the export. Getenv, Service and Log are required.
type Config struct {
	// Getenv reads an environment variable. Sampler and limits are read by the SDK of
	// OpenTelemetry, from the environment of the process.
	Getenv func(string) string
	// Service is the service.name of the process, unless OTEL_SERVICE_NAME or
	// OTEL_RESOURCE_ATTRIBUTES has one.
	Service string
	// Version is the service.version of the process. Defaults to none.
	Version string
	// Log receives the faults of the export, at most one a minute.
	Log *slog.Logger
}

// Start exports the spans of the process where the environment asks for it: it sets the
// TracerProvider of the process. stop exports what is left, until its context ends; nil: no
// spans are made. An error names every variable with a bad value.
func Start(ctx context.Context, cfg Config) (stop func(context.Context), err error) {
	s, err := readSettings(cfg.Getenv)
	if err != nil || s == nil {
		return nil, err
	}
	faults := &faults{log: cfg.Log, sometimes: rate.Sometimes{Interval: faultInterval}}
	otel.SetErrorHandler(faults)
	exporter, err := otlptrace.New(ctx, newClient(s))
	if err != nil {
		return nil, fmt.Errorf("export traces: %w", err)
	}
	named := []attribute.KeyValue{attribute.String("service.name", cfg.Service)}
	if cfg.Version != "" {
		named = append(named, attribute.String("service.version", cfg.Version))
	}
	// A variable that cannot be read is reported, and the rest of the resource is used.
	described, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(named...), resource.WithFromEnv())
	if err != nil {
		faults.Handle(err)
	}
	provider := trace.NewTracerProvider(trace.WithBatcher(exporter), trace.WithResource(described))
	otel.SetTracerProvider(provider)
	return func(ctx context.Context) {
		if err := provider.Shutdown(ctx); err != nil {
			cfg.Log.WarnContext(ctx, "some traces were not exported", "error", err)
		}
	}, nil
}

// faults logs the errors of the SDK.
type faults struct {
	log       *slog.Logger
	sometimes rate.Sometimes
}

// faultInterval is the time between two lines about the export.
const faultInterval = time.Minute

// Handle logs an error.
func (f *faults) Handle(err error) {
	f.sometimes.Do(func() { f.log.Warn("traces cannot be exported", "error", err) })
}
