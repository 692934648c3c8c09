package consumer

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/backoff"
	"github.com/oskadev/mailroom/internal/rediserr"
	"github.com/oskadev/mailroom/internal/resp"
)

// recoverEvery is how often a worker looks at its own pending entries without
// an error as the reason.
const recoverEvery = time.Minute

// fetcher reads the mailbox into free slots. What is known to be quick the goroutine that
// reads runs by itself, one after the other, and settles it with the next read, in one
// piece: nobody has to be woken for it, which would cost more than running it. All else
// goes to the pool.
//
// A run that takes long after all holds nobody up: the watch relieves the goroutine. What
// it has not begun goes to the pool, what it has done is settled, and another goroutine
// reads on; it goes when it comes back.
type fetcher struct {
	c       *Consumer
	p       *resp.Pipeline
	working context.Context //nolint:containedctx // of the runs
	waits   *backoff.Backoff
	every   time.Duration // how long a read waits at most
	over    chan struct{} // closed when it has ended
	active  chan struct{} // capacity 1: there is something to watch

	nextReclaim, nextRecover time.Time
	recover                  bool

	mu      sync.Mutex
	turn    int           // counts the goroutines that read, one after the other
	queue   []*Delivery   // to be run here
	done    []*completion // what was, and is to be settled
	running *Delivery     // nil: it is in no handler
	runs    int           // begun, in all
	watched bool
}

func newFetcher(c *Consumer, working context.Context) *fetcher {
	return &fetcher{
		c: c, p: c.conn.NewPipeline(), working: working,
		waits: backoff.New(50*time.Millisecond, time.Second),
		// No longer than a reclaim may be late, nor than the socket may take.
		every: min(c.cfg.IdleLimit/3, time.Second, c.conn.Timeout()/2),
		over:  make(chan struct{}), active: make(chan struct{}, 1),
	}
}

// start reads until the context ends; then the channel is closed. A handler that was
// begun by then may still run: the pool waits for it.
func (f *fetcher) start(ctx context.Context) <-chan struct{} {
	now := time.Now()
	f.nextReclaim, f.nextRecover = now.Add(f.every), now.Add(recoverEvery)
	f.c.pool.ended.Go(func() { f.watch(ctx) })
	f.readOn(ctx, 0)
	return f.over
}

// readOn has a goroutine read, whose turn it is.
func (f *fetcher) readOn(ctx context.Context, turn int) {
	f.c.pool.ended.Go(func() {
		gone := false // in an orderly way
		defer func() {
			if !gone { // its handler has ended it
				f.mu.Lock()
				run := f.runs
				f.mu.Unlock()
				f.relieve(ctx, turn, run)
			}
		}()
		relieved := f.fetch(ctx, turn)
		gone = true
		if !relieved {
			f.handOver(f.finished())
			f.p.Close()
			close(f.over)
		}
	})
}

// fetch reads until the context ends, or, which it reports, the goroutine is relieved.
func (f *fetcher) fetch(ctx context.Context, turn int) (relieved bool) {
	for {
		if f.c.slots.none() {
			f.settle(ctx)
		}
		free, err := f.c.slots.await(ctx)
		if err != nil {
			return false // the context's end is how it is told to stop
		}
		switch now := time.Now(); {
		case f.recover || now.After(f.nextRecover):
			f.nextRecover = now.Add(recoverEvery)
			f.settle(ctx)
			err = f.c.recoverOwn(ctx, f.working, f.p, free)
			f.recover = err != nil
		case now.After(f.nextReclaim):
			f.nextReclaim = now.Add(f.every)
			f.settle(ctx)
			err = f.c.reclaim(ctx, f.working, f.p, free)
		default:
			var batch []*Delivery
			if batch, err = f.read(ctx, free); err == nil {
				f.waits.Reset()
			}
			f.recover = err != nil
			if len(batch) > 0 && f.runHere(ctx, turn, batch) {
				return true
			}
		}
		if err != nil && !errors.Is(err, errMoreOwn) {
			f.c.afterError(ctx, err, f.waits)
		}
	}
}

// afterError mends what can be mended, and waits before the next attempt.
func (c *Consumer) afterError(ctx context.Context, err error, waits *backoff.Backoff) {
	switch {
	case ctx.Err() != nil: // it was told to stop
	case c.dismissed(err):
	case rediserr.IsNoGroup(err):
		c.conn.Log().WarnContext(ctx, "the mailbox is gone, making it anew", "service", c.service, "error", err)
		c.join(ctx)
	default:
		wait := waits.Next()
		c.conn.Log().WarnContext(ctx, "reading the mailbox failed, trying again",
			"service", c.service, "worker", c.worker, "error", err, "retry_in", wait)
		_ = backoff.Pause(ctx, wait) // the loop looks at the context
	}
}

// read settles what was run here, and takes what is new (XREADGROUP with >), or waits for
// it.
func (f *fetcher) read(ctx context.Context, free int) ([]*Delivery, error) {
	c, b := f.c, f.finished()
	opening, cancel := context.WithTimeout(ctx, c.conn.Timeout())
	k, err := f.p.Conn(opening, c.mailbox)
	cancel()
	if err != nil {
		f.handOver(b)
		return nil, err
	}
	c.settler.write(&k.Out, b)
	settling := k.Out.Len()
	xreadgroup(&k.Out, c.mailbox, c.worker, free, max(f.every.Milliseconds(), 1))
	asked := time.Now()
	err = k.Send(c.conn.Timeout())
	k.Out.Reset()
	if err == nil && settling > 0 {
		err = f.settled(k, b, settling)
	}
	var answers []string
	if err == nil {
		answers, err = k.Receive(1, c.conn.Timeout())
	}
	if err != nil {
		f.handOver(b)
		return nil, err
	}
	batch, err := readStream(answers[0])
	if err != nil {
		return nil, c.explainRead(ctx, f.p, err, answers[0], "xreadgroup", "streams", c.mailbox)
	}
	for _, d := range batch {
		d.Attempt, d.fresh, d.owned = 1, true, asked
	}
	c.start(f.working, batch) //nolint:contextcheck // runs outlive the reading
	return batch, nil
}

// xreadgroup reads what no worker has read, up to so many entries.
func xreadgroup(c *resp.Commands, mailbox, worker string, count int, blockMillis int64) {
	c.Begin(11)
	c.Text("xreadgroup")
	c.Text("group")
	c.Text(wire.Group)
	c.Text(worker)
	c.Text("count")
	c.Number(int64(count))
	c.Text("block")
	c.Number(blockMillis)
	c.Text("streams")
	c.Text(mailbox)
	c.Text(">")
}

// finished takes what was run here, to be settled.
func (f *fetcher) finished() *settlement {
	f.mu.Lock()
	done := f.done
	f.done = nil
	f.mu.Unlock()
	b := &settlement{all: done}
	b.sort(done, f.c.conn.Hook)
	return b
}

// settled reads the answers to what settles a batch. What Redis did not take the settler
// tries again.
func (f *fetcher) settled(k *resp.Conn, b *settlement, n int) error {
	answers, err := k.Receive(n, f.c.conn.Timeout())
	if err != nil {
		return err
	}
	_ = f.c.settler.take(b, answers) // what Redis did not take is left in the batch
	left := slices.Concat(b.safe, b.fenced)
	f.c.ended(slices.DeleteFunc(b.all, func(e *completion) bool { return slices.Contains(left, e) }))
	f.handOver(b)
	return nil
}

// settle settles what was run here without reading on.
func (f *fetcher) settle(ctx context.Context) {
	b := f.finished()
	if len(b.all) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), f.c.conn.Timeout())
	defer cancel()
	if k, err := f.p.Conn(ctx, f.c.mailbox); err == nil {
		f.c.settler.write(&k.Out, b)
		n := k.Out.Len()
		err = k.Send(f.c.conn.Timeout())
		k.Out.Reset()
		if err == nil {
			_ = f.settled(k, b, n) // what it left is handed over
		}
	}
	f.handOver(b)
}

// handOver leaves what could not be settled here to the settler: it tries again, and to
// settle what has been settled is harmless.
func (f *fetcher) handOver(b *settlement) {
	for _, e := range slices.Concat(b.safe, b.fenced) {
		f.c.settler.add(e)
	}
	b.all, b.safe, b.fenced = nil, nil, nil
}

// unsettled is how long runs may take together before what they gave is settled.
const unsettled = 200 * time.Microsecond

// runHere runs what is quick, and leaves the rest to the pool. It reports whether the
// goroutine has been relieved.
func (f *fetcher) runHere(ctx context.Context, turn int, batch []*Delivery) (relieved bool) {
	quick, rest := f.share(batch)
	f.c.pool.add(rest)
	f.mu.Lock()
	f.queue = quick
	f.mu.Unlock()
	took, ran := time.Duration(0), 0
	for d := f.next(); d != nil; d = f.next() {
		e := f.c.outcomeOf(d) //nolint:contextcheck // a run has its own
		if !f.back(turn, e) {
			return true
		}
		if e == nil {
			continue
		}
		ran++
		if took += e.took; took > unsettled || ran == maxBatch {
			f.settle(ctx)
			took, ran = 0, 0
		}
	}
	return false
}

// share tells what is quick from the rest.
func (f *fetcher) share(batch []*Delivery) (quick, rest []*Delivery) {
	isQuick := func(d *Delivery) bool { return f.c.paces[d.Request.Action].isQuick() }
	same := true
	for _, d := range batch[1:] {
		same = same && isQuick(d) == isQuick(batch[0])
	}
	switch {
	case same && isQuick(batch[0]):
		return batch, nil
	case same:
		return nil, batch
	}
	for _, d := range batch {
		if isQuick(d) {
			quick = append(quick, d)
		} else {
			rest = append(rest, d)
		}
	}
	return quick, rest
}

// next is what is to be run now; nil: nothing.
func (f *fetcher) next() *Delivery {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.queue) == 0 {
		return nil
	}
	d := f.queue[0]
	f.queue, f.running = f.queue[1:], d
	f.runs++
	if !f.watched {
		f.watched = true
		select {
		case f.active <- struct{}{}:
		default: // it is about to look
		}
	}
	return d
}

// back takes an outcome, or nil, when its handler has ended. It reports whether the
// goroutine goes on.
func (f *fetcher) back(turn int, e *completion) bool {
	f.mu.Lock()
	relieved := f.turn != turn
	if !relieved {
		if f.running = nil; e != nil {
			f.done = append(f.done, e)
		}
	}
	f.mu.Unlock()
	if relieved && e != nil {
		f.c.settler.add(e)
	}
	return !relieved
}
