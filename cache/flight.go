package cache

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

var errPanicked = errors.New("the run panicked")

// flight is a run in progress, here or in another process, and the callers of this
// process that wait for it. Its key holds the nonces: these callers looked up before
// the data of the answer was invalidated.
type flight struct {
	cache   *Cache
	key     string
	space   string
	done    chan struct{} // closed once outcome and err are valid
	outcome Outcome
	err     error
	joined  bool // the outcome is that of another process

	// The rest is guarded by Cache.mu.
	leading  bool // the run is here
	followed bool // a goroutine waits for the leader
	waiting  int
	finished bool
}

func flightKey(digest, nonces string) string { return digest + " " + nonces }

func newFlight(c *Cache, l *lookup, nonces string) *flight {
	return &flight{cache: c, key: flightKey(l.digest, nonces), space: l.query.Space, done: make(chan struct{})}
}

// flightFor returns the flight of a lookup that read these nonces, and creates it if
// there is none.
func (c *Cache) flightFor(l *lookup, nonces string) *flight {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.flights[flightKey(l.digest, nonces)]
	if f == nil {
		f = newFlight(c, l, nonces)
		c.flights[f.key] = f
	}
	return f
}

// handed ends the flight whose outcome another process made; payload is its message.
func (c *Cache) handed(payload string) {
	m, err := parseMessage(payload)
	if err != nil {
		c.logs.Warn(c.cfg.Logger, "dropped a message that cannot be read", "bytes", len(payload), "error", err)
		return
	}
	c.mu.Lock()
	f := c.flights[flightKey(m.digest, m.nonces)]
	follows := f != nil && !f.leading
	c.mu.Unlock()
	switch {
	case !follows:
	case len(m.value) == m.size:
		f.end(Outcome{Value: m.value, Broken: m.broken}, true, nil)
	default: // the value is too long to publish; fetching it must not delay other messages
		c.tasks.start(func(ctx context.Context) { f.fetch(ctx, &m) })
	}
}

// fetch reads an outcome that was too long to publish. If it cannot be read, the
// flight looks up again when the lease has ended.
func (f *flight) fetch(ctx context.Context, m *message) {
	c := f.cache
	ctx, cancel := context.WithTimeout(ctx, 10*c.cfg.Timeout)
	defer cancel()
	value, err := c.pipe.rdb.Get(ctx, c.keys.handed(f.space, m.digest)+":"+m.token).Result()
	if err == nil {
		f.end(Outcome{Value: value, Broken: m.broken}, true, nil)
	}
}

// end gives the outcome to all callers that wait. Only the first call counts.
func (f *flight) end(o Outcome, joined bool, err error) {
	f.cache.mu.Lock()
	defer f.cache.mu.Unlock()
	if f.finished {
		return
	}
	f.finished, f.outcome, f.joined, f.err = true, o, joined, err
	if f.cache.flights[f.key] == f {
		delete(f.cache.flights, f.key)
	}
	close(f.done)
}

// lead runs the query of a lease, unless the first caller does. No caller can cancel
// the run.
func (f *flight) lead(l *lookup, held *lease) {
	f.cache.mu.Lock()
	f.leading = true
	f.cache.mu.Unlock()
	if l.result.inline == nil && !f.cache.tasks.start(func(ctx context.Context) { f.fly(ctx, held, l.run) }) {
		f.end(Outcome{}, false, ErrClosed)
	}
}

// leadInline runs the query of a lease on the goroutine of its caller.
func (f *flight) leadInline(held *lease, run Run) {
	tasks := f.cache.tasks
	if !tasks.enter() {
		f.end(Outcome{}, false, ErrClosed)
		return
	}
	defer tasks.leave()
	f.fly(tasks.ctx, held, run)
}

// fly runs the query, and gives the outcome to the callers here and elsewhere.
func (f *flight) fly(ctx context.Context, l *lease, run Run) {
	c := f.cache
	c.leases.keep(l)
	outcome, err := c.runGuarded(l.query, run)
	f.end(outcome, false, err)
	c.leases.drop(l)
	if err == nil && ctx.Err() == nil { // an interrupted run has no outcome for others
		c.filler.fill(l, outcome)
	}
}

// runGuarded runs a query, and returns a panic as an error for all callers.
func (c *Cache) runGuarded(q *Query, run Run) (o Outcome, err error) {
	defer func() {
		if p := recover(); p != nil {
			c.cfg.Logger.Error("a run panicked", "space", q.Space, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			o, err = Outcome{}, errPanicked
		}
	}()
	c.cfg.at(stepRun, q.Identity)
	return run(c.tasks.ctx), nil
}

// follow waits for a leader in another process, whose outcome comes as a message.
func (f *flight) follow(l *lookup, ends time.Duration) {
	c := f.cache
	c.mu.Lock()
	followed := f.followed || f.finished
	f.followed = true
	c.mu.Unlock()
	if followed {
		return
	}
	if !c.tasks.start(func(ctx context.Context) { f.watch(ctx, l, ends) }) {
		f.end(Outcome{}, false, ErrClosed)
	}
}

// watch looks up again whenever the leader's lease may have ended, until the flight
// ends: the leader may be dead, and this process may lead then.
func (f *flight) watch(ctx context.Context, l *lookup, ends time.Duration) {
	c, q := f.cache, *l.query
	q.Inline = false // no caller waits here
	timer := time.NewTimer(max(ends, 0) + time.Millisecond)
	defer timer.Stop()
	for {
		select {
		case <-f.done:
			return
		case <-ctx.Done():
			f.end(Outcome{}, false, ErrClosed)
			return
		case <-timer.C:
		}
		c.mu.Lock()
		leading := f.leading
		c.mu.Unlock()
		if leading { // by another lookup of this process
			return
		}
		again, _, err := c.lookUp(&q, modeLook, l.run)
		if err == nil {
			<-again.done
			err = again.result.err
		}
		switch {
		case err != nil: // Redis is unreachable: a run is better than waiting
			outcome, err := c.runGuarded(l.query, l.run)
			f.end(outcome, false, err)
			return
		case again.result.flight == nil:
			f.end(Outcome{Value: again.result.entry.value}, true, nil)
			return
		case again.result.flight != f:
			other := again.result.flight
			<-other.done
			f.end(other.outcome, true, other.err)
			return
		}
		timer.Reset(c.cfg.Lease)
	}
}
