package consumer

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/backoff"
	"github.com/oskadev/mailroom/internal/batch"
	"github.com/oskadev/mailroom/internal/lazyctx"
	"github.com/oskadev/mailroom/internal/rediserr"
	"github.com/oskadev/mailroom/internal/resp"
)

// settlePatience is for how long a worker that was told to stop tries to settle outcomes
// that Redis does not take.
const settlePatience = 5 * time.Second

// maxBatch is how many requests one pipeline settles at most. A script call blocks Redis
// for all of its requests; larger batches gain nothing measurable.
const maxBatch = 256

// settlers is how many batches are settled at once.
const settlers = 2

// settler ends requests in batches: safe ones by PUBLISH, XACK and XDEL in a pipeline,
// those that keep an outcome by settle.lua in the same pipeline.
type settler struct {
	w        *worker
	requests *requests
	batches  *batch.Batcher[*completion]
	stop     <-chan struct{} // closed when the worker was told to stop and has drained
}

func newSettler(w *worker, r *requests, stop <-chan struct{}) *settler {
	return &settler{w: w, requests: r, batches: batch.New[*completion](maxBatch), stop: stop}
}

func (s *settler) add(e *completion) { s.batches.Add(e) }

// run settles batches until the context ends, and then what was added before.
func (s *settler) run(ctx context.Context) {
	var running sync.WaitGroup
	for range settlers {
		running.Go(func() {
			p := s.w.conn.NewPipeline()
			defer p.Close()
			p.Prepare(ctx)
			s.batches.Run(ctx, func(items []*completion) { s.flush(p, items) }) //nolint:contextcheck // settling outlives the context
		})
	}
	running.Wait()
}

// settlement is one batch that is being settled. Confirmed completions are removed from
// safe and fenced.
type settlement struct {
	all    []*completion // of an inline run
	safe   []*completion // may run again: a reply may be lost
	fenced []*completion // settled by settle.lua, only while the worker owns them
	whole  bool          // send the script instead of its digest

	stored, published int // commands that were written for long envelopes, and PUBLISH
}

// sort adds completions to those that may run again or to the fenced ones.
func (b *settlement) sort(items []*completion, hook bus.Hook) {
	for _, e := range items {
		hook.At(bus.StepSettle, e.delivery.Request.ID)
		if e.state == wire.StateDead || !e.delivery.Request.Safe() {
			b.fenced = append(b.fenced, e)
		} else {
			b.safe = append(b.safe, e)
		}
	}
}

// flush settles a batch. What Redis never takes is abandoned.
func (s *settler) flush(p *resp.Pipeline, items []*completion) {
	b := &settlement{}
	b.sort(items, s.w.conn.Hook)
	s.settle(p, b)
	s.requests.settled(items)
}

// settle tries until Redis has answered. Repeating is harmless: a settled request is not
// owned any more. No outcome is lost to a broken connection, or while Redis is full,
// loading or failing over; its slot stays taken until then. Outcomes that Redis never
// takes are abandoned one by one.
func (s *settler) settle(p *resp.Pipeline, b *settlement) {
	waits := backoff.New(20*time.Millisecond, time.Second)
	var patience <-chan time.Time
	stop := s.stop
	for {
		err := s.send(p, b)
		switch {
		case err == nil:
			return
		case s.w.isRefused(err): // other workers run these requests again
			s.abandon(b)
			return
		case s.w.conn.Scripts.Settle.Missing(err):
			if !b.whole {
				b.whole = true
				continue
			}
		case rediserr.IsPermanent(err) && len(b.safe)+len(b.fenced) == 1:
			s.w.log.Error("Redis refused an outcome, the request will be delivered again", "error", err)
			s.abandon(b)
			return
		case rediserr.IsPermanent(err):
			for _, one := range b.split() {
				s.settle(p, one)
			}
			return
		}
		wait := waits.Next()
		s.w.log.Warn("cannot settle outcomes, retrying",
			"requests", len(b.safe)+len(b.fenced), "error", err, "retry_in", wait)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-stop:
			patience, stop = time.After(settlePatience), nil
		case <-patience:
			s.w.log.Error("stopped with unsettled outcomes, their requests will be delivered again",
				"requests", len(b.safe)+len(b.fenced), "error", err)
			s.abandon(b)
			return
		}
		timer.Stop()
	}
}

// split makes a batch of each completion, so that one cannot fail the others.
func (b *settlement) split() []*settlement {
	parts := make([]*settlement, 0, len(b.safe)+len(b.fenced))
	for _, e := range b.safe {
		parts = append(parts, &settlement{safe: []*completion{e}})
	}
	for _, e := range b.fenced {
		parts = append(parts, &settlement{fenced: []*completion{e}, whole: b.whole})
	}
	return parts
}

// abandon leaves requests to another delivery.
func (s *settler) abandon(b *settlement) {
	for _, e := range append(b.safe, b.fenced...) {
		e.delivery.settled(errUnsettled)
		s.requests.abandon(e.delivery.Entry)
	}
}

// send sends the unconfirmed completions of a batch, and reads the answers.
func (s *settler) send(p *resp.Pipeline, b *settlement) error {
	ctx := lazyctx.WithDeadline(context.Background(), time.Now().Add(s.w.conn.Timeout()))
	defer ctx.Cancel(nil)
	k, err := p.Conn(&ctx, s.w.mailbox)
	if err != nil {
		return err
	}
	s.write(&k.Out, b)
	p.Exchange(&ctx, s.w.conn.Timeout())
	answers, err := k.Answers()
	if err != nil {
		return err
	}
	return s.confirm(b, answers)
}

// confirm reads the answers to the commands that write wrote, and removes from the batch
// what Redis confirmed.
func (s *settler) confirm(b *settlement, answers []string) error {
	var failed error
	if len(b.safe) > 0 {
		publishes, removed := answers[b.stored:b.stored+b.published], answers[b.stored+b.published:b.stored+b.published+2]
		reply := b.safe[0].delivery.Request.Reply
		failed = errors.Join(s.errorIn(answers[:b.stored], "hset", s.w.mailbox),
			s.errorIn(removed[:1], "xack", s.w.mailbox), s.errorIn(removed[1:], "xdel", s.w.mailbox))
		if failed == nil {
			for _, e := range b.safe {
				s.w.conn.Hook.At(bus.StepSettled, e.delivery.Request.ID)
			}
			b.safe = nil
		}
		s.w.isRefused(s.errorIn(publishes, "publish", reply))
	}
	if len(b.fenced) > 0 {
		owned, err := resp.Words(answers[len(answers)-1])
		if err != nil {
			return s.w.conn.Explain(err, "fcall", "", "", s.w.mailbox)
		}
		s.report(b.fenced, owned)
		b.fenced = nil
	}
	return failed
}

// errorIn returns the first error in the answers to commands of that name on a key or a
// channel.
func (s *settler) errorIn(answers []string, name, on string) error {
	for _, answer := range answers {
		if answer[0] == '-' {
			_, err := resp.Word(answer)
			return s.w.conn.Explain(err, name, on)
		}
	}
	return nil
}

// report logs the outcomes that came too late: the worker no longer owns their requests.
func (s *settler) report(fenced []*completion, owned []string) {
	for i, e := range fenced {
		if i < len(owned) && owned[i] == "0" {
			s.w.log.With(e.delivery.LogIDs()).Warn("a late outcome was refused, the worker no longer owns the request")
			e.delivery.settled(errLate)
			continue
		}
		s.w.conn.Hook.At(bus.StepSettled, e.delivery.Request.ID)
	}
}

// receive reads the n answers to a batch of inline completions that was sent with other
// commands. Completions that Redis did not take go back to the settler.
func (s *settler) receive(k *resp.Conn, b *settlement, n int) error {
	answers, err := k.Receive(n, s.w.conn.Timeout())
	if err != nil {
		return err
	}
	_ = s.confirm(b, answers) // the batch holds what Redis did not take
	unconfirmed := slices.Concat(b.safe, b.fenced)
	s.requests.settled(slices.DeleteFunc(b.all, func(e *completion) bool { return slices.Contains(unconfirmed, e) }))
	s.requeue(b)
	return nil
}

// requeue adds the unconfirmed completions of a batch. Settling one that was settled is
// harmless.
func (s *settler) requeue(b *settlement) {
	for _, e := range slices.Concat(b.safe, b.fenced) {
		s.add(e)
	}
	b.all, b.safe, b.fenced = nil, nil, nil
}
