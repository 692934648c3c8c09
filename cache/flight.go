package cache

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"
)

// flight is an answer that is being made, here or elsewhere, and all of this
// process who wait for it. They share it because they looked before anything that
// it is made of was invalidated: its key holds the nonces.
type flight struct {
	cache    *Cache
	key      string
	space    string
	done     chan struct{} // closed when the outcome is there
	outcome  Outcome
	err      error
	joined   bool // the outcome is somebody else's
	leading  bool
	watched  bool
	waiting  int
	finished bool // the rest but outcome is guarded by Cache.mu
}

func newFlight(c *Cache, l *look) *flight {
	return &flight{cache: c, key: l.digest + " " + l.nonces, space: l.query.Space, done: make(chan struct{})}
}

// flightOf finds the flight of what a look saw, or begins one.
func (c *Cache) flightOf(l *look) *flight {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := l.digest + " " + l.nonces
	f := c.flights[key]
	if f == nil {
		f = newFlight(c, l)
		c.flights[key] = f
	}
	return f
}

// end gives all who wait the outcome; only the first one counts.
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

// lead has the question run. What comes of it nobody who leaves can stop.
func (f *flight) lead(l *look) {
	c := f.cache
	c.mu.Lock()
	f.leading = true
	c.mu.Unlock()
	// Who gets what is stale does not wait for what is made.
	if l.inline = l.inline && !l.found.within(l.query.Policy.StaleWhileRevalidate); l.inline {
		return
	}
	if !c.running(func() { f.fly(l) }) {
		f.end(Outcome{}, false, ErrClosed)
	}
}

// leadHere is the run of whoever asked first, and waits for it.
func (f *flight) leadHere(l *look) {
	c := f.cache
	c.mu.Lock()
	closed := c.closed
	if !closed {
		c.work.Add(1)
	}
	c.mu.Unlock()
	if closed {
		f.end(Outcome{}, false, ErrClosed)
		return
	}
	defer c.work.Done()
	f.fly(l)
}

// fly runs the question, and hands the outcome to all who wait for it.
func (f *flight) fly(l *look) {
	c := f.cache
	c.keep(l)
	outcome, err := c.runGuarded(l.query, l.run)
	f.end(outcome, false, err)
	c.letGo(l)
	if err == nil && c.ctx.Err() == nil { // cut short, it is no outcome for others
		c.fill(l, outcome)
	}
}

// runGuarded makes an error of a panic: for all who wait.
func (c *Cache) runGuarded(q *Query, run Run) (o Outcome, err error) {
	defer func() {
		if p := recover(); p != nil {
			c.log.Error("a run panicked", "space", q.Space, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			o, err = Outcome{}, errPanicked
		}
	}()
	c.cfg.at(StepRun, q.Identity)
	return run(c.ctx), nil
}

// follow waits for a leader elsewhere. Its outcome comes by message; when its
// lease ends, it may be dead: then Redis is looked at again, and one of those who
// wait leads.
func (f *flight) follow(l *look, lease time.Duration) {
	c := f.cache
	c.mu.Lock()
	watched := f.watched || f.finished
	f.watched = true
	c.mu.Unlock()
	if watched {
		return
	}
	if !c.running(func() { f.watch(c.ctx, l, lease) }) {
		f.end(Outcome{}, false, ErrClosed)
	}
}

func (f *flight) watch(ctx context.Context, l *look, lease time.Duration) {
	c := f.cache
	timer := time.NewTimer(max(lease, 0) + time.Millisecond)
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
		if leading { // by another look of this process
			return
		}
		again, _, err := c.ask(l.query, modeLook, l.run, false)
		if err == nil {
			<-again.done
			err = again.err
		}
		switch {
		case err != nil: // Redis is away: better run it than wait
			outcome, err := c.runGuarded(l.query, l.run)
			f.end(outcome, false, err)
			return
		case again.flight == nil:
			f.end(Outcome{Value: again.found.value}, true, nil)
			return
		case again.flight != f:
			<-again.flight.done
			f.end(again.flight.outcome, true, again.flight.err)
			return
		}
		timer.Reset(c.cfg.Lease)
	}
}
