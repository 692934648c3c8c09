package consumer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/backoff"
	"github.com/oskadev/mailroom/internal/rediserr"
	"github.com/oskadev/mailroom/internal/token"
)

// Defaults of a consumer.
const (
	DefaultConcurrency = 64
	DefaultIdleLimit   = 3 * time.Second
	DefaultHeartbeat   = time.Second
	DefaultExpiry      = 3 * time.Second
	DefaultMaxAttempts = 5
	DefaultDrainLimit  = 20 * time.Second
)

// MinIdleLimit is the shortest idle limit: heartbeats come three times as often.
const MinIdleLimit = 100 * time.Millisecond

// ConsumerConfig of a Consumer. Manifest and Run are required.
type Config struct {
	// Manifest names the service and what it does.
	Manifest *wire.Manifest
	// Concurrency is how many requests are under way at once.
	// Defaults to DefaultConcurrency.
	Concurrency int
	// IdleLimit is how long a request may be without a sign of life from its
	// worker before another one takes it. Defaults to DefaultIdleLimit; at
	// least MinIdleLimit, the same for all workers of a service.
	IdleLimit time.Duration
	// Heartbeat is how often the worker says that it lives, at most a third of
	// Expiry. Defaults to DefaultHeartbeat.
	Heartbeat time.Duration
	// Expiry is how long it counts as alive after that. Defaults to DefaultExpiry.
	Expiry time.Duration
	// MaxAttempts is how often a request is delivered before it is given up.
	// Defaults to DefaultMaxAttempts.
	MaxAttempts int
	// DrainLimit is how long running requests may take once the consumer has
	// been told to stop, before their contexts end. Defaults to
	// DefaultDrainLimit.
	DrainLimit time.Duration
	// Hidden keeps the consumer off the list of services: of the mailbox of
	// compositions, which gateways consume. No other service has a reserved name.
	Hidden bool
	// Run runs one request. It is called on many goroutines at once, for fast actions
	// on the goroutine that reads.
	Run func(context.Context, *Delivery) Outcome
}

func (c *Config) setDefaults() error {
	var errs []error
	orDefault := func(d *time.Duration, or time.Duration) {
		if *d == 0 {
			*d = or
		}
	}
	if c.Concurrency == 0 {
		c.Concurrency = DefaultConcurrency
	}
	if c.MaxAttempts == 0 {
		c.MaxAttempts = DefaultMaxAttempts
	}
	orDefault(&c.IdleLimit, DefaultIdleLimit)
	orDefault(&c.Heartbeat, DefaultHeartbeat)
	orDefault(&c.Expiry, DefaultExpiry)
	orDefault(&c.DrainLimit, DefaultDrainLimit)
	if c.Concurrency < 1 || c.Concurrency > 10_000 {
		errs = append(errs, fmt.Errorf("concurrency %d is not between 1 and 10000", c.Concurrency))
	}
	if c.MaxAttempts < 1 {
		errs = append(errs, fmt.Errorf("max attempts %d is not at least 1", c.MaxAttempts))
	}
	if c.IdleLimit < MinIdleLimit {
		errs = append(errs, fmt.Errorf("idle limit %v is shorter than %v", c.IdleLimit, MinIdleLimit))
	}
	if c.Heartbeat < 0 || c.Heartbeat > c.Expiry/3 {
		errs = append(errs, fmt.Errorf("heartbeat %v is longer than a third of the expiry %v", c.Heartbeat, c.Expiry))
	}
	return errors.Join(errs...)
}

// Delivery is a request that a worker has been given.
type Delivery struct {
	Request wire.Request
	// Entry is the ID of its stream entry.
	Entry string
	// Attempt counts the deliveries, from 1.
	Attempt int
	// Queued is how long the request waited until it was delivered.
	Queued time.Duration

	run     *run
	by      *Consumer // who runs it
	invalid error     // what is wrong with the entry
	fresh   bool      // it has certainly not begun before
	owned   time.Time // it was certainly this worker's up to the idle limit after this
}

// Consumer reads the mailbox of a service as one worker of it.
type Consumer struct {
	conn    *bus.Conn
	cfg     Config
	service string
	worker  string
	mailbox string
	slots   *slots
	pool    *pool
	settler *settler
	paces   map[string]*pace // by action

	mu      sync.Mutex
	running map[string]*run // by entry
	left    map[string]bool // pending entries that have begun here, without an outcome
	refusal error           // what Redis refuses this worker

	dismiss func() // ends the worker at once

	presence sync.Mutex // around signing on and off
	leaving  bool       // signed off: no more heartbeats
}

// ErrOwnershipLost is the cause of a handler's ended context when another
// worker has taken its request.
var ErrOwnershipLost = errors.New("another worker has taken the request")

// ErrDraining is the cause of a handler's ended context when its worker stops
// and the handler took longer than the drain limit.
var ErrDraining = errors.New("the worker is stopping")

// ErrRefused is the cause of a handler's ended context when Redis refuses its
// worker: its outcome could not be settled.
var ErrRefused = errors.New("Redis refuses the worker")

// NewConsumer prepares a worker with a new identifier.
func New(conn *bus.Conn, cfg Config) (*Consumer, error) {
	if err := wire.CheckServiceName(cfg.Manifest.Service); err != nil && (!cfg.Hidden || cfg.Manifest.Service != wire.ReservedService) {
		return nil, err
	}
	if err := cfg.setDefaults(); err != nil {
		return nil, fmt.Errorf("consumer of %s: %w", cfg.Manifest.Service, err)
	}
	service := cfg.Manifest.Service
	c := &Consumer{
		conn: conn, cfg: cfg, service: service, worker: service + "." + token.New(token.NameBytes),
		mailbox: conn.Keys.Requests(service), slots: newSlots(cfg.Concurrency),
		running: make(map[string]*run), left: make(map[string]bool), dismiss: func() {},
		paces: make(map[string]*pace, len(cfg.Manifest.Actions)),
	}
	for i := range cfg.Manifest.Actions {
		c.paces[cfg.Manifest.Actions[i].Name] = &pace{}
	}
	c.pool = newPool(cfg.Concurrency, c.deliver)
	c.settler = newSettler(c)
	return c, nil
}

// Worker is this worker's identifier.
func (c *Consumer) Worker() string { return c.worker }

// Run serves the mailbox until the context ends, and then drains: it reads no
// more, lets running requests finish up to the drain limit, and settles their
// outcomes. Where Redis refuses the worker it ends at once with a RefusedError,
// and leaves what it was running to others.
func (c *Consumer) Run(ctx context.Context) error {
	fetching, stopFetching := context.WithCancel(ctx)
	defer stopFetching()
	// Running requests and their outcomes outlive the end of fetching.
	working, stopWorking := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stopWorking(nil)

	c.dismiss = func() {
		stopFetching()
		stopWorking(ErrRefused)
	}
	if c.join(fetching); c.refused() != nil {
		return c.refused()
	}
	settling, stopSettling := context.WithCancel(context.WithoutCancel(ctx))
	var settler, background sync.WaitGroup
	settler.Go(func() { c.settler.run(settling) })
	background.Go(func() { c.heartbeats(settling) })
	background.Go(func() { // at once, while the last read may still be waiting
		<-fetching.Done()
		c.leave(context.WithoutCancel(ctx))
	})
	<-newFetcher(c, working).start(fetching)
	stopFetching()
	c.drain(working, stopWorking)
	stopSettling()
	settler.Wait()
	background.Wait()
	c.retire(context.WithoutCancel(ctx), c.worker, 0)
	return c.refused()
}

// dismissed reports whether an error is a refusal. Then the worker ends: it
// could not settle what it runs, and trying again would not help.
func (c *Consumer) dismissed(err error) bool {
	if !rediserr.IsRefused(err) {
		return false
	}
	c.mu.Lock()
	if c.refusal == nil {
		c.refusal = fmt.Errorf("worker %s: %w", c.worker, err)
	}
	c.mu.Unlock()
	c.dismiss()
	return true
}

func (c *Consumer) refused() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refusal
}

// drainGrace is what a handler has left to return once its context has ended.
const drainGrace = time.Second

// drain waits until nothing runs any more: up to the drain limit, or until the
// worker is dismissed. Then the contexts of what still runs end, and a moment
// later it is left behind. Other workers take it over.
func (c *Consumer) drain(working context.Context, stopWorking context.CancelCauseFunc) {
	ended := c.pool.close()
	limit := time.NewTimer(c.cfg.DrainLimit)
	defer limit.Stop()
	select {
	case <-ended:
		return
	case <-limit.C:
	case <-working.Done():
	}
	stopWorking(ErrDraining)
	grace := time.NewTimer(drainGrace)
	defer grace.Stop()
	select {
	case <-ended:
	case <-grace.C:
		c.conn.Log().Error("handlers ignore that their contexts have ended; leaving their requests to other workers",
			"service", c.service, "worker", c.worker)
	}
}

// join creates the consumer group where it is missing, at 0: what was sent
// before the first worker came is read too. It tries until Redis answers.
func (c *Consumer) join(ctx context.Context) {
	waits := backoff.New(100*time.Millisecond, 2*time.Second)
	for {
		err := c.conn.Redis().XGroupCreateMkStream(ctx, c.mailbox, wire.Group, "0").Err()
		if err == nil || rediserr.IsBusyGroup(err) {
			err = c.mayAnswer(ctx)
		}
		if err == nil || ctx.Err() != nil || c.dismissed(err) {
			return
		}
		wait := waits.Next()
		c.conn.Log().WarnContext(ctx, "cannot open the mailbox, trying again",
			"service", c.service, "redis", c.conn.Address(), "error", err, "retry_in", wait)
		_ = backoff.Pause(ctx, wait) // the loop looks at the context
	}
}

// mayAnswer finds out whether the worker has the right to answer, before it
// takes a request: on a channel like those of askers, that nobody listens to.
func (c *Consumer) mayAnswer(ctx context.Context) error {
	return c.conn.Redis().Publish(ctx, c.conn.Keys.Replies(c.worker, c.service), "").Err()
}

// newDelivery reads the fields of an entry: name, value, name, value.
func newDelivery(entry string, fields []string) *Delivery {
	d := &Delivery{Entry: entry}
	d.Request, d.invalid = wire.ParseRequest(fields)
	return d
}

// acceptedAt is the Redis time at which the request was: it may have waited in its
// lane before it had an entry.
func (d *Delivery) acceptedAt() int64 {
	if d.Request.Accepted != 0 {
		return d.Request.Accepted
	}
	return wire.EntryTime(d.Entry)
}
