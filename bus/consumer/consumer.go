package consumer

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/internal/token"
)

// ErrOwnershipLost is the cause of a handler's ended context when another worker has
// taken its request.
var ErrOwnershipLost = errors.New("another worker has taken the request")

// ErrDraining is the cause of a handler's ended context when its worker stops and the
// handler took longer than the drain limit.
var ErrDraining = errors.New("the worker is stopping")

// ErrCancelled is the cause of a handler's ended context when a caller has cancelled its
// request.
var ErrCancelled = errors.New("the request was cancelled")

// errRefused is the cause of a handler's ended context when Redis refuses its worker,
// which cannot settle any outcome then.
var errRefused = errors.New("the worker is refused by Redis")

// Consumer serves the mailbox of a service as one worker.
type Consumer struct {
	conn *bus.Conn
	cfg  Config
	id   string

	slots *slots // one for each request that may run
}

// New returns a consumer with a new worker identifier. Run serves the mailbox.
func New(conn *bus.Conn, cfg Config) (*Consumer, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	return &Consumer{
		conn: conn, cfg: cfg, id: cfg.Manifest.Service + "." + token.New(token.NameBytes), slots: newSlots(cfg.Concurrency),
	}, nil
}

// Worker returns the identifier of the worker.
func (c *Consumer) Worker() string { return c.id }

// Resize changes how many requests run at once, at any time. Running requests are not
// stopped. With 0 the consumer reads no more requests, and stays registered.
func (c *Consumer) Resize(n int) { c.slots.resize(n) }

// Run serves the mailbox until the context ends, and then drains: it stops reading, lets
// running requests finish up to the drain limit, and settles their outcomes. When Redis
// refuses the worker, Run returns the refusal at once; other workers run its requests
// again.
func (c *Consumer) Run(ctx context.Context) error {
	fetching, stopFetching := context.WithCancel(ctx)
	defer stopFetching()
	// Running requests, and settling after them, outlive fetching.
	working, stopWorking := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stopWorking(nil)
	settling, stopSettling := context.WithCancel(context.WithoutCancel(ctx))
	defer stopSettling()

	w := newWorker(c, func() {
		stopFetching()
		stopWorking(errRefused)
	})
	w.join(fetching)
	if err := w.refusal(); err != nil {
		return err
	}
	requests := newRequests(w, c.slots)
	settler := newSettler(w, requests, settling.Done())
	runner := newRunner(w, requests, settler)
	pool := newPool(runner.deliver)
	presence := &presence{w: w}

	var settled, background sync.WaitGroup
	settled.Go(func() { settler.run(settling) })
	background.Go(func() { presence.keepUp(settling, requests) })
	background.Go(func() { // at once: the last read may still be waiting
		<-fetching.Done()
		w.sending.Lock()   // a read that is being sent goes first
		w.sending.Unlock() //nolint:staticcheck // later ones see that the context has ended
		presence.leave(context.WithoutCancel(ctx))
	})
	<-newFetcher(w, requests, runner, pool).start(fetching, working)
	stopFetching()
	w.drain(pool, working, stopWorking)
	stopSettling()
	settled.Wait()
	background.Wait()
	w.retire(context.WithoutCancel(ctx), w.id, 0)
	return w.refusal()
}

// drainGrace is how long handlers may take to return after their contexts have ended.
const drainGrace = time.Second

// drain waits until nothing runs any more, the drain limit is over, or the worker is
// refused. Then it ends the contexts of the handlers that still run, and waits for the
// grace period at most. Other workers take over what runs even longer.
func (w *worker) drain(p *pool, working context.Context, stopWorking context.CancelCauseFunc) {
	ended := p.close()
	limit := time.NewTimer(w.cfg.DrainLimit)
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
		w.log.Error("handlers did not return after their contexts ended, leaving their requests to other workers")
	}
}
