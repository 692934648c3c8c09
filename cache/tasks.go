package cache

import (
	"context"
	"sync"
	"time"
)

// closePatience is how long close waits for runs, whose outcome other processes may
// wait for.
const closePatience = time.Second

// tasks are the goroutines of a cache. Runs belong to no caller: they use the
// context of tasks.
type tasks struct {
	ctx   context.Context //nolint:containedctx // of runs, which belong to no caller
	stop  context.CancelFunc
	runs  sync.WaitGroup // what close waits for
	loops sync.WaitGroup // what ends with the context

	mu     sync.Mutex
	closed bool
}

func newTasks() *tasks {
	ctx, stop := context.WithCancel(context.Background())
	return &tasks{ctx: ctx, stop: stop}
}

// enter reports that close waits until leave is called; false: close has begun.
func (t *tasks) enter() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		t.runs.Add(1)
	}
	return !t.closed
}

func (t *tasks) leave() { t.runs.Done() }

// start runs a function on a goroutine that close waits for, unless close has begun.
func (t *tasks) start(do func(ctx context.Context)) bool {
	if !t.enter() {
		return false
	}
	go func() {
		defer t.leave()
		do(t.ctx)
	}()
	return true
}

// loop runs a function on a goroutine until the tasks are closed.
func (t *tasks) loop(do func(ctx context.Context)) { t.loops.Go(func() { do(t.ctx) }) }

// close waits for the runs, for at most closePatience; then it stops everything.
func (t *tasks) close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	timer := time.AfterFunc(closePatience, t.stop)
	t.runs.Wait()
	timer.Stop()
	t.stop()
	t.loops.Wait()
}
