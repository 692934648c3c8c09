package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/tracing"
)

const (
	defaultConcurrency = 64
	defaultIdleLimit   = 3 * time.Second
	defaultHeartbeat   = time.Second
	defaultExpiry      = 3 * time.Second
	defaultMaxAttempts = 5
	defaultDrainLimit  = 20 * time.Second

	// minIdleLimit leaves time for the keep-alives of running requests, which come three
	// times as often.
	minIdleLimit = 100 * time.Millisecond
)

// Config configures a Consumer. Manifest and Run are required.
type Config struct {
	// Manifest names the service and describes its actions.
	Manifest *wire.Manifest
	// Concurrency is how many requests run at once, 1 to 10000. Defaults to 64.
	Concurrency int
	// IdleLimit is how long a request may go without a keep-alive of its worker before
	// another worker takes it, at least 100 ms. All workers of a service need the same
	// value. Defaults to 3 s.
	IdleLimit time.Duration
	// Heartbeat is the time between two heartbeats, at most a third of Expiry.
	// Defaults to 1 s.
	Heartbeat time.Duration
	// Expiry is how long the worker counts as alive after a heartbeat. Defaults to 3 s.
	Expiry time.Duration
	// MaxAttempts is how often a request is delivered before it becomes a dead letter.
	// Defaults to 5.
	MaxAttempts int
	// DrainLimit is how long running requests may take after the consumer was told to
	// stop. Then their contexts end. Defaults to 20 s.
	DrainLimit time.Duration
	// Hidden keeps the consumer off the list of services. Gateways set it for the
	// mailbox of compositions; only a hidden service may have a reserved name.
	// Defaults to false.
	Hidden bool
	// Remote means that Run waits for another process: it never runs on the goroutine
	// that reads. Defaults to false.
	Remote bool
	// OnRegistered is called once, when the worker is on the list of workers. Defaults to
	// nil: no call.
	OnRegistered func()
	// Ended is called with each delivery that has an outcome, before it is settled. It is
	// called on many goroutines at once. Defaults to nil: no call.
	Ended func(*Delivery, *Ended)
	// Tracer makes a span of each run, which Run finds in its context. Defaults to nil: no
	// spans.
	Tracer *tracing.Tracer
	// Run runs one request. It is called on many goroutines at once.
	Run func(context.Context, *Delivery) Outcome
}

// complete sets the defaults and reports every fault.
func (c *Config) complete() error {
	if err := wire.CheckServiceName(c.Manifest.Service); err != nil && (!c.Hidden || c.Manifest.Service != wire.ReservedService) {
		return err
	}
	setDefault(&c.Concurrency, defaultConcurrency)
	setDefault(&c.MaxAttempts, defaultMaxAttempts)
	setDefault(&c.IdleLimit, defaultIdleLimit)
	setDefault(&c.Heartbeat, defaultHeartbeat)
	setDefault(&c.Expiry, defaultExpiry)
	setDefault(&c.DrainLimit, defaultDrainLimit)
	var errs []error
	if c.Concurrency < 1 || c.Concurrency > 10_000 {
		errs = append(errs, fmt.Errorf("concurrency %d is not between 1 and 10000", c.Concurrency))
	}
	if c.MaxAttempts < 1 {
		errs = append(errs, fmt.Errorf("max attempts %d is not at least 1", c.MaxAttempts))
	}
	if c.IdleLimit < minIdleLimit {
		errs = append(errs, fmt.Errorf("idle limit %v is shorter than %v", c.IdleLimit, minIdleLimit))
	}
	if c.Heartbeat < 0 || c.Heartbeat > c.Expiry/3 {
		errs = append(errs, fmt.Errorf("heartbeat %v is longer than a third of the expiry %v", c.Heartbeat, c.Expiry))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("consumer of %s: %w", c.Manifest.Service, err)
	}
	return nil
}

// setDefault sets a field that is zero.
func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
