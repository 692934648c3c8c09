package consumer

import (
	"context"
	"sync"
	"time"

	"github.com/oskadev/mailroom/internal/resp"
)

// inline runs fast actions on the goroutine that reads the mailbox, the reader, one after
// the other, and keeps their completions to be settled with the next read. Waking another
// goroutine would cost more than such a run.
//
// A run that takes long after all does not hold up other requests: the stall monitor hands
// reading over to a new reader. Queued requests go to the pool and completions to the
// settler; the old reader ends after its run.
type inline struct {
	runner   *runner
	pool     *pool
	pipeline *resp.Pipeline // of the reader
	wake     chan struct{}  // capacity 1: there is something to monitor

	mu        sync.Mutex
	reader    int           // number of the present reader
	queue     []*Delivery   // to run
	completed []*completion // to settle
	running   *Delivery     // nil: no handler is running
	runs      int           // number of the latest run
	monitored bool
}

func newInline(r *runner, p *pool, pipeline *resp.Pipeline) *inline {
	return &inline{runner: r, pool: p, pipeline: pipeline, wake: make(chan struct{}, 1)}
}

// maxUnsettled is how long inline runs may take together before they are settled.
const maxUnsettled = 200 * time.Microsecond

// run runs the fast ones of a batch, and adds the others to the pool. It reports false
// when another reader has taken over meanwhile.
func (in *inline) run(ctx context.Context, reader int, batch []*Delivery) (goOn bool) {
	fast, others := in.split(batch)
	in.pool.add(others)
	in.mu.Lock()
	in.queue = fast
	in.mu.Unlock()
	took, ran := time.Duration(0), 0
	for d := in.next(); d != nil; d = in.next() {
		e := in.runner.complete(d) //nolint:contextcheck // a run has a context of its own
		if !in.returned(reader, e) {
			return false
		}
		if e == nil {
			continue
		}
		ran++
		if took += e.took; took > maxUnsettled || ran == maxBatch {
			in.settle(ctx)
			took, ran = 0, 0
		}
	}
	return true
}

// split separates fast requests from the others.
func (in *inline) split(batch []*Delivery) (fast, others []*Delivery) {
	isFast := func(d *Delivery) bool { return in.runner.fast.isFast(d.Request.Action) }
	first, mixed := isFast(batch[0]), false
	for _, d := range batch[1:] {
		mixed = mixed || isFast(d) != first
	}
	switch {
	case !mixed && first:
		return batch, nil
	case !mixed:
		return nil, batch
	}
	for _, d := range batch {
		if isFast(d) {
			fast = append(fast, d)
		} else {
			others = append(others, d)
		}
	}
	return fast, others
}

// next returns the next request to run, or nil.
func (in *inline) next() *Delivery {
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.queue) == 0 {
		return nil
	}
	d := in.queue[0]
	in.queue, in.running = in.queue[1:], d
	in.runs++
	if !in.monitored {
		in.monitored = true
		select {
		case in.wake <- struct{}{}:
		default: // the monitor has not looked yet
		}
	}
	return d
}

// returned takes the completion of a run, or nil. It reports whether the reader goes on.
func (in *inline) returned(reader int, e *completion) bool {
	in.mu.Lock()
	goOn := in.reader == reader
	if goOn {
		if in.running = nil; e != nil {
			in.completed = append(in.completed, e)
		}
	}
	in.mu.Unlock()
	if !goOn && e != nil {
		in.runner.settler.add(e)
	}
	return goOn
}

// take returns the completions that have to be settled.
func (in *inline) take() *settlement {
	in.mu.Lock()
	completed := in.completed
	in.completed = nil
	in.mu.Unlock()
	b := &settlement{all: completed}
	b.sort(completed, in.runner.w.conn.Hook)
	return b
}

// settle settles the completions without waiting for the next read.
func (in *inline) settle(ctx context.Context) {
	b := in.take()
	if len(b.all) == 0 {
		return
	}
	s, w := in.runner.settler, in.runner.w
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.conn.Timeout())
	defer cancel()
	k, err := in.pipeline.Conn(ctx, w.mailbox)
	if err == nil {
		s.write(&k.Out, b)
		n := k.Out.Len()
		err = k.Send(w.conn.Timeout())
		k.Out.Reset()
		if err == nil {
			err = s.receive(k, b, n)
		}
	}
	if err != nil {
		s.requeue(b)
	}
}

// handOver has a new reader replace one that a run of that number holds up. The action
// of that run is slow from then on. Where the run has returned meanwhile, the reader stays.
func (in *inline) handOver(reader, run int, resume func(reader int)) {
	in.mu.Lock()
	if in.reader != reader || in.runs != run || in.running == nil {
		in.mu.Unlock()
		return
	}
	in.reader++
	queue, completed, running := in.queue, in.completed, in.running
	in.queue, in.completed, in.running = nil, nil, nil
	in.mu.Unlock()
	in.runner.fast.reset(running.Request.Action)
	in.pool.add(queue)
	for _, e := range completed {
		in.runner.settler.add(e)
	}
	resume(reader + 1)
}

// exited replaces a reader whose goroutine a handler has ended (runtime.Goexit).
func (in *inline) exited(reader int, resume func(reader int)) {
	in.mu.Lock()
	run := in.runs
	in.mu.Unlock()
	in.handOver(reader, run, resume)
}
