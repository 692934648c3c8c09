package history

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/rediserr"
)

// defaultKeep is how many entries a service keeps unless configured.
const defaultKeep = 1000

const (
	perSecond  = 20 // entries that one recorder writes, and as many notable ones
	burst      = 40
	maxWaiting = 256                    // entries that wait to be written; more are dropped
	writeEvery = 200 * time.Millisecond // entries of this time are written at once
	ttl        = 24 * time.Hour         // after the last entry
)

// Recorder writes a sample of the requests that one worker ended: at most 20 a second, and
// at most 20 notable ones. Ended never blocks, and no request waits for the history.
type Recorder struct {
	conn    *bus.Conn
	service string
	keep    int64

	ordinary, notable *rate.Limiter

	mu      sync.Mutex
	waiting []*Entry
	off     bool // Redis refuses the history

	wake chan struct{}
	stop context.CancelFunc
	done sync.WaitGroup
}

// NewRecorder returns a recorder that keeps about as many entries of the service; 0:
// defaultKeep, negative: none. Close it.
func NewRecorder(conn *bus.Conn, service string, keep int) *Recorder {
	if keep < 0 {
		return nil
	}
	if keep == 0 {
		keep = defaultKeep
	}
	ctx, stop := context.WithCancel(context.Background())
	r := &Recorder{
		conn: conn, service: service, keep: int64(keep),
		ordinary: rate.NewLimiter(perSecond, burst), notable: rate.NewLimiter(perSecond, burst),
		wake: make(chan struct{}, 1), stop: stop,
	}
	r.done.Go(func() { r.run(ctx) })
	return r
}

// Close writes what waits and ends the recorder. A nil recorder is closed.
func (r *Recorder) Close() {
	if r == nil {
		return
	}
	r.stop()
	r.done.Wait()
}

// Delivery is a delivery of a request that has ended.
type Delivery struct {
	Request *wire.Request
	Worker  string
	// Attempt counts the deliveries, from 1.
	Attempt int
	// State is wire.StateDone, StateExpired, StateDead or StateCancelled.
	State string
	// Status is the HTTP status of the outcome; 0: there is none.
	Status int
	// Queue is the time from the acceptance to this delivery, Run that of the handler.
	Queue, Run time.Duration
	// Outcome is the envelope; not to be changed.
	Outcome []byte
}

// slow is when a request is notable for its time alone.
const slow = time.Second

// notable reports whether operators look for such a request first: it failed, it was
// delivered again, or it was slow.
func (d *Delivery) notable() bool {
	return d.Status >= 500 || d.State != wire.StateDone || d.Attempt > 1 || d.Run+d.Queue > slow
}

// Ended records a delivery, if it belongs to the sample. A nil recorder records none.
func (r *Recorder) Ended(d *Delivery) {
	if r == nil {
		return
	}
	limit := r.ordinary
	if d.notable() {
		limit = r.notable
	}
	if !limit.Allow() {
		return
	}
	meta := d.Request.ParseMeta()
	e := &Entry{
		Service: r.service, ID: d.Request.ID, Action: d.Request.Action, State: d.State, Status: d.Status,
		Worker: d.Worker, Attempt: d.Attempt, Ended: r.conn.Clock.Now(), Queue: d.Queue, Run: d.Run,
		RequestID: meta.RequestID, Caller: meta.Caller, Version: meta.Version, TraceParent: meta.TraceParent, Depth: meta.Depth,
		notable: d.notable(), Args: cut(d.Request.Args), Outcome: cut(string(d.Outcome[:min(len(d.Outcome), maxText+1)])),
	}
	if meta.Principal != nil {
		e.Principal = meta.Principal.Subject
	}
	r.mu.Lock()
	first := len(r.waiting) == 0
	if len(r.waiting) < maxWaiting && !r.off {
		r.waiting = append(r.waiting, e)
	}
	r.mu.Unlock()
	if first {
		select {
		case r.wake <- struct{}{}:
		default: // it is awake already
		}
	}
}

// run writes what was recorded until the context ends.
func (r *Recorder) run(ctx context.Context) {
	pause := time.NewTimer(writeEvery)
	defer pause.Stop()
	for {
		select {
		case <-r.wake:
		case <-ctx.Done():
			r.write(context.WithoutCancel(ctx))
			return
		}
		pause.Reset(writeEvery)
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
		r.write(context.WithoutCancel(ctx))
	}
}

// write writes all entries that wait. Where Redis does not answer, they are lost.
func (r *Recorder) write(ctx context.Context) {
	r.mu.Lock()
	entries := r.waiting
	r.waiting = nil
	r.mu.Unlock()
	if len(entries) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, r.conn.Timeout())
	defer cancel()
	err := add(ctx, r.conn, r.service, r.keep, entries)
	switch {
	case rediserr.IsForbidden(err): // the rights are those of an older release
		r.mu.Lock()
		r.off = true
		r.mu.Unlock()
		r.conn.Log().WarnContext(ctx, "no history of requests is kept: Redis refuses it; mailroom acl prints the rights", "service", r.service, "error", err)
	case err != nil:
		r.conn.Log().DebugContext(ctx, "requests are missing in the history", "service", r.service, "requests", len(entries), "error", err)
	}
}
