package consumer

import (
	"context"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/lazyctx"
	"github.com/oskadev/mailroom/internal/rediserr"
)

// run is one delivery that is running, and the context of its handler.
type run struct {
	lazyctx.Context
	delivery *Delivery

	// Guarded by requests.mu:
	until    int64     // unix ms up to which the worker keeps it
	progress []byte    // to be reported; nil: nothing
	reported time.Time // when progress was reported last
}

// requests are the requests that a worker has been delivered, by stream entry.
type requests struct {
	w     *worker
	slots *slots // one for each that is running

	mu        sync.Mutex
	running   map[string]*run
	abandoned map[string]bool // pending entries that have begun here, without an outcome
}

func newRequests(w *worker, s *slots) *requests {
	return &requests{
		w: w, slots: s,
		running: make(map[string]*run), abandoned: make(map[string]bool),
	}
}

// start puts deliveries into slots. The caller runs them.
func (r *requests) start(working context.Context, batch []*Delivery) {
	now := r.w.conn.Clock.Millis()
	r.slots.take(len(batch))
	runs := make([]run, len(batch))
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, d := range batch {
		d.Queued = max(0, time.Duration(now-d.acceptedAt())*time.Millisecond)
		d.owner, d.run = r, &runs[i]
		d.run.Context, d.run.delivery = lazyctx.New(working), d
		d.run.until = r.keptUntil(&d.Request, now)
		delete(r.abandoned, d.Entry)
		r.running[d.Entry] = d.run
	}
}

// keptUntil limits how long the worker keeps a request: one whose handler hangs past the
// deadline goes to another worker, which makes a dead letter of it.
func (r *requests) keptUntil(request *wire.Request, now int64) int64 {
	end := request.Deadline
	if end == 0 {
		timeout := wire.DefaultTimeout
		if a := r.w.cfg.Manifest.Action(request.Action); a != nil {
			timeout = a.Timeout()
		}
		end = now + timeout.Milliseconds()
	}
	return end + r.grace()
}

// grace returns for how many ms past its deadline a request is kept.
func (r *requests) grace() int64 {
	return max(r.w.cfg.IdleLimit, r.w.cfg.DrainLimit).Milliseconds()
}

// extend keeps a running request for so long from now, where that is later than before.
func (r *requests) extend(entry string, by time.Duration) {
	end := r.w.conn.Clock.Now().Add(by).UnixMilli() + r.grace()
	r.mu.Lock()
	defer r.mu.Unlock()
	if run := r.running[entry]; run != nil {
		run.until = max(run.until, end)
	}
}

// keep resets the idle time of the running requests. The context of a handler ends when
// another worker has taken its request, or a caller has cancelled it. Without a running
// request it only finds out whether Redis answers.
func (r *requests) keep(ctx context.Context) {
	now := r.w.conn.Clock.Millis()
	args := []any{r.w.id}
	r.mu.Lock()
	for entry, run := range r.running {
		if now < run.until {
			args = append(args, entry)
		}
	}
	r.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, r.w.conn.Timeout())
	defer cancel()
	lost, err := r.w.conn.Scripts.Keep.Run(ctx, r.w.conn.Redis(), []string{r.w.mailbox}, args...)
	if err != nil {
		if !rediserr.IsNoGroup(err) && !r.w.isRefused(err) {
			r.w.log.WarnContext(ctx, "cannot keep running requests", "error", err)
		}
		return
	}
	r.w.steady.answered()
	entries, _ := lost.([]any)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range entries {
		entry, _ := e.(string)
		entry, cancelled := strings.CutPrefix(entry, "-")
		// It may have been settled since the list was made.
		switch run := r.running[entry]; {
		case run == nil:
		case cancelled:
			run.Cancel(ErrCancelled)
		default:
			run.Cancel(ErrOwnershipLost)
		}
	}
}

// beside returns the IDs of the running requests except one, separated by commas; of many
// only some.
func (r *requests) beside(except string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var ids []string
	for entry, run := range r.running {
		if entry != except && len(ids) < maxBeside {
			ids = append(ids, run.delivery.Request.ID)
		}
	}
	return strings.Join(ids, ",")
}

// awaitOthers waits until only one request is running, or for the limit.
func (r *requests) awaitOthers(ctx context.Context, limit time.Duration) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		r.mu.Lock()
		n := len(r.running)
		r.mu.Unlock()
		if n <= 1 {
			return
		}
		select {
		case <-r.slots.more:
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// settled ends the runs of settled requests and frees their slots.
func (r *requests) settled(completions []*completion) {
	freed := 0
	r.mu.Lock()
	for _, e := range completions {
		e.delivery.settled(nil)
		if run := r.running[e.delivery.Entry]; run != nil {
			run.Cancel(nil)
			delete(r.running, e.delivery.Entry)
			freed++
		}
	}
	r.mu.Unlock()
	r.slots.give(freed)
}

// abandon ends the run of a request that has no settled outcome and frees its slot. A
// worker takes the entry when it has been idle for the idle limit.
func (r *requests) abandon(entry string) {
	r.mu.Lock()
	run := r.running[entry]
	delete(r.running, entry)
	r.abandoned[entry] = true
	r.mu.Unlock()
	if run != nil {
		run.Cancel(nil)
		r.slots.give(1)
	}
}

func (r *requests) isRunning(entry string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.running[entry]
	return ok
}

func (r *requests) isAbandoned(entry string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.abandoned[entry]
}

// allAbandoned returns a copy of the abandoned entries.
func (r *requests) allAbandoned() map[string]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.abandoned)
}

// forget drops abandoned entries that are not pending here any more.
func (r *requests) forget(gone map[string]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for entry := range gone {
		delete(r.abandoned, entry)
	}
}
