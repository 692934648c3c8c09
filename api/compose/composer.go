package compose

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/consumer"
	"github.com/oskadev/mailroom/bus/history"
	"github.com/oskadev/mailroom/bus/registry"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/batch"
	calls "github.com/oskadev/mailroom/internal/call"
	"github.com/oskadev/mailroom/internal/tracing"
	"github.com/oskadev/mailroom/versions"
)

// planTTL is the time for which a plan is kept after a gateway last had it in force.
const planTTL = 8 * 24 * time.Hour

// Composer runs compositions. It is safe for concurrent use.
type Composer struct {
	cfg   Config
	ended *batch.Batcher[string] // records of steps whose composition has ended

	mu    sync.Mutex
	plans map[string]*versions.Plan // by hash, as read from Redis
	kept  map[string]time.Time      // by hash, when the plan was last written to Redis
}

// planner holds the services and the plans in force.
type planner interface {
	Services() registry.Snapshot
	Plan(hash string) *versions.Plan
}

// Config configures a Composer. All fields but IdleLimit and DrainLimit are required.
type Config struct {
	// Conn is the connection to the bus.
	Conn *bus.Conn
	// Caller calls the actions of the steps.
	Caller *calls.Caller
	// Limit bounds the compositions in flight that only read.
	Limit *calls.Limit
	// Secret returns the secret that gateways share; nil: it is not known yet.
	Secret func() []byte
	// Services are those that steps call.
	Services planner
	// Ended is called when a step has an answer.
	Ended func(*StepAnswer)
	// Tracer makes spans of compositions and their steps. Defaults to nil: none.
	Tracer *tracing.Tracer
	// History is the number of compositions that are kept for operators; negative: none.
	// Defaults to history.DefaultKeep.
	History int
	// IdleLimit and DrainLimit default as in consumer.Config.
	IdleLimit, DrainLimit time.Duration
	// Log receives the causes of failures.
	Log *slog.Logger
}

// New returns a composer.
func New(cfg Config) *Composer {
	return &Composer{cfg: cfg, ended: batch.New[string](maxExpiries), plans: make(map[string]*versions.Plan), kept: make(map[string]time.Time)}
}

// keepInterval is the time between two writes of a used plan. After it, a Redis that lost
// its data has the plan again, for gateways with another file.
const keepInterval = time.Minute

// maxConcurrent is the number of compositions that a gateway runs at once.
const maxConcurrent = 256

// Consume serves the mailbox of compositions until the context ends.
func (c *Composer) Consume(ctx context.Context) {
	recorder := history.NewRecorder(c.cfg.Conn, wire.ReservedService, c.cfg.History) //nolint:contextcheck // it lives until it is closed
	defer recorder.Close()
	var expiring sync.WaitGroup
	expiring.Go(func() { c.ended.Run(ctx, c.expire) })
	defer expiring.Wait()
	var worker *consumer.Consumer
	worker, err := consumer.New(c.cfg.Conn, consumer.Config{
		Manifest: &wire.Manifest{Service: wire.ReservedService, Version: "1", Protocol: 1},
		Hidden:   true, Concurrency: maxConcurrent, IdleLimit: c.cfg.IdleLimit, DrainLimit: c.cfg.DrainLimit, Tracer: c.cfg.Tracer, Run: c.run,
		Ended: func(d *consumer.Delivery, e *consumer.Ended) {
			recorder.Ended(&history.Delivery{
				Request: &d.Request, Worker: worker.Worker(), Attempt: d.Attempt, State: e.State, Status: e.Status, Queue: d.Queued, Run: e.Took, Outcome: e.Envelope,
			})
		},
	})
	if err == nil {
		err = worker.Run(ctx)
	}
	if err != nil {
		c.cfg.Log.Error("compositions are not served here", "error", err)
	}
}

// maxExpiries is the number of records in one pipeline.
const maxExpiries = 256

// expire shortens the life of records (PEXPIRE). A record that it misses lives until its own
// end.
func (c *Composer) expire(records []string) {
	ctx, cancel := context.WithTimeout(context.Background(), c.cfg.Conn.Timeout())
	defer cancel()
	pipe := c.cfg.Conn.Redis().Pipeline()
	for _, record := range records {
		pipe.PExpire(ctx, record, wire.EndedStepStore)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		c.cfg.Log.Warn("the outcomes of steps are kept longer than necessary", "steps", len(records), "error", err)
	}
}

// Keep writes a plan to Redis, at most once per keepInterval, so that every gateway can
// continue its compositions.
func (c *Composer) Keep(ctx context.Context, p *versions.Plan) error {
	c.mu.Lock()
	fresh := time.Since(c.kept[p.Hash()]) < keepInterval
	c.mu.Unlock()
	if fresh {
		return nil
	}
	if err := c.cfg.Conn.Set(ctx, c.cfg.Conn.Keys.Plan(p.Hash()), p.Source(), planTTL); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept[p.Hash()], c.plans[p.Hash()] = time.Now(), p
	return nil
}

// plan returns the plan with a hash. It returns bus.ErrNoValue for one that is not kept.
func (c *Composer) plan(ctx context.Context, hash string) (*versions.Plan, error) {
	c.mu.Lock()
	p := c.plans[hash]
	c.mu.Unlock()
	if p == nil {
		p = c.cfg.Services.Plan(hash)
	}
	if p != nil {
		return p, nil
	}
	source, err := c.cfg.Conn.Get(ctx, c.cfg.Conn.Keys.Plan(hash))
	if err != nil {
		return nil, err
	}
	if p, err = versions.ParsePlan(source); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.plans[hash] = p
	return p, nil
}
