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

// fetcher reads requests from the mailbox into free slots and adds them to the pool.
type fetcher struct {
	w         *worker
	requests  *requests
	reclaimer *reclaimer
	pool      *pool
	pipeline  *resp.Pipeline
	waits     *backoff.Backoff
	maxWait   time.Duration // of one read

	nextReclaim time.Time
	nextRecover time.Time // zero: at once
}

func newFetcher(w *worker, r *requests, p *pool) *fetcher {
	pipeline := w.conn.NewPipeline()
	// A read delays reclaiming, and its answer has to come before the socket times out.
	maxWait := min(w.cfg.IdleLimit/3, time.Second, w.conn.Timeout()/2)
	now := time.Now()
	return &fetcher{
		w: w, requests: r, reclaimer: &reclaimer{w: w, requests: r, pool: p, pipeline: pipeline}, pool: p, pipeline: pipeline,
		waits: backoff.New(50*time.Millisecond, time.Second), maxWait: maxWait,
		nextReclaim: now.Add(maxWait), nextRecover: now.Add(recoverEvery),
	}
}

// run reads until the context ends.
func (f *fetcher) run(ctx, working context.Context) {
	defer f.pipeline.Close()
	for {
		free, err := f.requests.slots.await(ctx)
		if err != nil {
			return // the context has ended
		}
		switch now := time.Now(); {
		case now.After(f.nextRecover):
			f.nextRecover = now.Add(recoverEvery)
			if err = f.reclaimer.recoverOwn(ctx, working, free); err != nil {
				f.nextRecover = time.Time{}
			}
		case now.After(f.nextReclaim):
			f.nextReclaim = now.Add(f.maxWait)
			err = f.reclaimer.reclaim(ctx, working, free)
		default:
			if err = f.fetchNew(ctx, working, free); err != nil {
				f.nextRecover = time.Time{} // the answer may have held entries
			} else {
				f.waits.Reset()
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

// fetchNew takes new requests, or waits for some.
func (f *fetcher) fetchNew(ctx, working context.Context, free int) error {
	w := f.w
	opening := lazyctx.WithDeadline(ctx, time.Now().Add(w.conn.Timeout()))
	k, err := f.pipeline.Conn(&opening, w.mailbox) //nolint:contextcheck // it is made of ctx
	opening.Cancel(nil)
	if err != nil {
		return err
	}
	asked := time.Now()
	answer, err := k.Do(w.conn.Timeout(), func(out *resp.Commands) {
		xreadgroup(out, w.mailbox, w.id, free, max(f.maxWait.Milliseconds(), 1))
	})
	if err != nil {
		return err
	}
	batch, err := readStream(answer)
	if err != nil {
		return w.explainRead(ctx, f.pipeline, err, answer, "xreadgroup", "streams", w.mailbox)
	}
	for _, d := range batch {
		d.Attempt, d.fresh, d.owned = 1, true, asked
	}
	f.requests.start(working, batch)
	f.pool.add(batch)
	return nil
}

// xreadgroup reads up to count entries that no worker has read.
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

// readStream reads the answer of XREADGROUP.
func readStream(answer string) (batch []*Delivery, err error) {
	err = resp.StreamEntries(answer, func(e resp.Entry) { batch = append(batch, newDelivery(e.ID, e.Fields)) })
	return batch, err
}
