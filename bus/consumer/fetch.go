package consumer

import (
	"context"
	"errors"
	"time"

	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/backoff"
	"github.com/oskadev/mailroom/internal/lazyctx"
	"github.com/oskadev/mailroom/internal/rediserr"
	"github.com/oskadev/mailroom/internal/resp"
)

// recoverEvery is how often a worker checks its own pending entries when no read failed.
const recoverEvery = time.Minute

// fetcher reads requests from the mailbox into free slots and hands them to inline.
type fetcher struct {
	w         *worker
	requests  *requests
	reclaimer *reclaimer
	suspects  *suspects
	inline    *inline
	pool      *pool
	pipeline  *resp.Pipeline
	waits     *backoff.Backoff
	maxWait   time.Duration // of one read
	over      chan struct{} // closed when reading has ended

	nextReclaim time.Time
	nextRecover time.Time // zero: at once
}

func newFetcher(w *worker, r *requests, runner *runner, p *pool) *fetcher {
	pipeline := w.conn.NewPipeline()
	// A read delays reclaiming, and its answer has to come before the socket times out.
	maxWait := min(w.cfg.IdleLimit/3, time.Second, w.conn.Timeout()/2)
	now, suspects := time.Now(), &suspects{w: w, requests: r, pool: p}
	return &fetcher{
		w: w, requests: r, reclaimer: &reclaimer{w: w, requests: r, pool: p, pipeline: pipeline, suspects: suspects},
		suspects: suspects, inline: newInline(runner, p, pipeline), pool: p, pipeline: pipeline,
		waits: backoff.New(50*time.Millisecond, time.Second), maxWait: maxWait, over: make(chan struct{}),
		nextReclaim: now.Add(maxWait), nextRecover: now.Add(recoverEvery),
	}
}

// start reads until the context ends, and then closes the channel. Handlers that run
// inline may still be running: the pool waits for them.
func (f *fetcher) start(ctx, working context.Context) <-chan struct{} {
	resume := func(reader int) { f.read(ctx, working, reader) }
	f.pool.goroutines.Go(func() { f.inline.monitor(f.over, resume) })
	resume(0)
	return f.over
}

// read starts the goroutine of a reader.
func (f *fetcher) read(ctx, working context.Context, reader int) {
	f.pool.goroutines.Go(func() {
		returned := false
		defer func() {
			if !returned { // a handler has ended the goroutine
				f.inline.exited(reader, func(reader int) { f.read(ctx, working, reader) })
			}
		}()
		over := f.fetch(ctx, working, reader)
		returned = true
		if over {
			f.inline.runner.settler.requeue(f.inline.take())
			_ = f.suspects.finish(context.WithoutCancel(ctx)) // a mark that stays expires
			f.pipeline.Close()
			close(f.over)
		}
	})
}

// fetch reads until the context ends; false: another reader has taken over.
func (f *fetcher) fetch(ctx, working context.Context, reader int) (over bool) {
	for {
		if f.requests.slots.none() {
			f.inline.settle(ctx)
		}
		free, err := f.requests.slots.await(ctx)
		if err != nil {
			return true // the context has ended
		}
		switch now := time.Now(); {
		case now.After(f.nextRecover):
			f.nextRecover = now.Add(recoverEvery)
			f.inline.settle(ctx)
			if err = f.reclaimer.recoverOwn(ctx, working, free); err != nil {
				f.nextRecover = time.Time{}
			}
		case now.After(f.nextReclaim):
			f.nextReclaim = now.Add(f.maxWait)
			f.inline.settle(ctx)
			err = f.reclaimer.reclaim(ctx, working, free)
		case f.suspects.due(now):
			f.inline.settle(ctx)
			err = f.suspects.next(ctx, working)
		default:
			var batch []*Delivery
			if batch, err = f.fetchNew(ctx, working, free, f.suspects.read(f.maxWait)); err != nil {
				f.nextRecover = time.Time{} // the answer may have held entries
			} else {
				f.waits.Reset()
			}
			if len(batch) == 0 {
				f.suspects.pause(ctx)
			}
			if len(batch) > 0 && !f.inline.run(ctx, reader, batch) {
				return false
			}
		}
		if err != nil && !errors.Is(err, errMoreOwn) {
			f.failed(ctx, err)
		}
	}
}

// failed repairs what it can after an error, and waits before the next attempt.
func (f *fetcher) failed(ctx context.Context, err error) {
	switch {
	case ctx.Err() != nil:
	case f.w.isRefused(err):
	case rediserr.IsNoGroup(err):
		f.w.log.WarnContext(ctx, "the mailbox is missing, creating it", "error", err)
		f.w.join(ctx)
	default:
		wait := f.waits.Next()
		f.w.log.WarnContext(ctx, "cannot read the mailbox, retrying", "error", err, "retry_in", wait)
		_ = backoff.Pause(ctx, wait) // the loop checks the context
	}
}

// fetchNew settles inline completions and takes or awaits new requests, in one exchange.
func (f *fetcher) fetchNew(ctx, working context.Context, free int, wait time.Duration) (batch []*Delivery, err error) {
	w, settler, b := f.w, f.inline.runner.settler, f.inline.take()
	defer func() {
		if err != nil {
			settler.requeue(b)
		}
	}()
	opening := lazyctx.WithDeadline(ctx, time.Now().Add(w.conn.Timeout()))
	k, err := f.pipeline.Conn(&opening, w.mailbox) //nolint:contextcheck // it is made of ctx
	opening.Cancel(nil)
	if err != nil {
		return nil, err
	}
	settler.write(&k.Out, b)
	settling := k.Out.Len()
	xreadgroup(&k.Out, w.mailbox, w.id, free, wait.Milliseconds())
	asked := time.Now()
	w.sending.Lock() // no read is sent once the worker leaves
	if err = ctx.Err(); err == nil {
		err = k.Send(w.conn.Timeout())
	}
	w.sending.Unlock()
	k.Out.Reset()
	if err == nil && settling > 0 {
		err = settler.receive(k, b, settling)
	}
	if err != nil {
		return nil, err
	}
	answers, err := k.Receive(1, w.conn.Timeout())
	if err != nil {
		return nil, err
	}
	if batch, err = readStream(answers[0]); err != nil {
		return nil, w.explainRead(ctx, f.pipeline, err, answers[0], "xreadgroup", "streams", w.mailbox)
	}
	for _, d := range batch {
		d.Attempt, d.fresh, d.owned = 1, true, asked
	}
	f.requests.start(working, batch)
	return batch, nil
}

// xreadgroup reads up to count entries that no worker has read. With 0 it does not block.
func xreadgroup(c *resp.Commands, mailbox, worker string, count int, blockMillis int64) {
	if blockMillis > 0 {
		c.Begin(11)
	} else {
		c.Begin(9)
	}
	c.Text("xreadgroup")
	c.Text("group")
	c.Text(wire.Group)
	c.Text(worker)
	c.Text("count")
	c.Number(int64(count))
	if blockMillis > 0 {
		c.Text("block")
		c.Number(blockMillis)
	}
	c.Text("streams")
	c.Text(mailbox)
	c.Text(">")
}

// readStream reads the answer of XREADGROUP.
func readStream(answer string) (batch []*Delivery, err error) {
	err = resp.StreamEntries(answer, func(e resp.Entry) { batch = append(batch, newDelivery(e.ID, e.Fields)) })
	return batch, err
}
