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
	"github.com/oskadev/mailroom/internal/rediserr"
	"github.com/oskadev/mailroom/internal/resp"
)

// settlePatience is how long outcomes are tried to be settled once the worker
// has been told to stop and Redis does not take them.
const settlePatience = 5 * time.Second

// maxBatch is the most requests that one pipeline settles. A script call holds Redis
// for all of its requests; larger batches gain nothing measurable.
const maxBatch = 256

// settler ends requests in batches: the safe ones by PUBLISH, XACK and XDEL in
// a pipeline, those that keep something by settle.lua in the same pipeline.
type settler struct {
	c       *Consumer
	batches *batch.Batcher[*completion]
	stop    <-chan struct{}
}

func newSettler(c *Consumer) *settler {
	return &settler{c: c, batches: batch.New[*completion](maxBatch)}
}

func (s *settler) add(e *completion) { s.batches.Add(e) }

// settlers is how many batches are under way at once.
const settlers = 2

func (s *settler) run(ctx context.Context) {
	s.stop = ctx.Done()
	var running sync.WaitGroup
	for range settlers {
		running.Go(func() {
			p := s.c.conn.NewPipeline()
			defer p.Close()
			p.Prepare(ctx)
			s.batches.Run(ctx, func(items []*completion) { s.flush(p, items) }) //nolint:contextcheck // settling outlives the end
		})
	}
	running.Wait()
}

// settlement is one batch on its way.
type settlement struct {
	safe   []*completion // their replies may be lost: they can run again
	fenced []*completion // settle.lua: only while this worker owns them
	whole  bool          // send the script, not its digest
	all    []*completion // of both kinds, where who settles them may not go on trying

	stored, told int // of the commands that were written: for long envelopes, and PUBLISH
}

// sort tells what can run again from what is fenced.
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

// flush settles a batch, and gives up what Redis will not have.
func (s *settler) flush(p *resp.Pipeline, items []*completion) {
	b := &settlement{}
	b.sort(items, s.c.conn.Hook)
	s.settle(p, b)
	s.c.ended(items)
}

// settle tries until Redis has answered: repeating is harmless, since what has
// ended is no longer owned. Neither a lost connection nor a Redis that is full,
// loading or failing over costs an outcome; meanwhile its slot stays taken. Only
// what Redis will never take is given up, each ending on its own.
func (s *settler) settle(p *resp.Pipeline, b *settlement) {
	waits := backoff.New(20*time.Millisecond, time.Second)
	var patience <-chan time.Time
	stop := s.stop
	for {
		err := s.send(p, b)
		switch {
		case err == nil:
			return
		case s.c.dismissed(err): // others run these requests again
			s.giveUp(b)
			return
		case rediserr.IsNoScript(err) && !b.whole:
			b.whole = true
			continue
		case rediserr.IsPermanent(err) && len(b.safe)+len(b.fenced) == 1:
			s.c.conn.Log().Error("Redis refuses an outcome; its request will be delivered again", "service", s.c.service, "error", err)
			s.giveUp(b)
			return
		case rediserr.IsPermanent(err):
			for _, one := range b.split() {
				s.settle(p, one)
			}
			return
		}
		wait := waits.Next()
		s.c.conn.Log().Warn("settling outcomes failed, trying again", "service", s.c.service,
			"requests", len(b.safe)+len(b.fenced), "error", err, "retry_in", wait)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-stop:
			patience, stop = time.After(settlePatience), nil
		case <-patience:
			s.c.conn.Log().Error("stopping with outcomes that are not settled; their requests will be delivered again",
				"service", s.c.service, "requests", len(b.safe)+len(b.fenced), "error", err)
			s.giveUp(b)
			return
		}
		timer.Stop()
	}
}

// split makes a batch of each ending, so that one cannot spoil the others.
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

// giveUp leaves requests to another delivery.
func (s *settler) giveUp(b *settlement) {
	for _, e := range append(b.safe, b.fenced...) {
		s.c.leaveUnsettled(e.delivery.Entry)
	}
}

// send writes what is left of a batch, and takes out what Redis confirmed.
func (s *settler) send(p *resp.Pipeline, b *settlement) error {
	ctx, cancel := context.WithTimeout(context.Background(), s.c.conn.Timeout())
	defer cancel()
	k, err := p.Conn(ctx, s.c.mailbox)
	if err != nil {
		return err
	}
	s.write(&k.Out, b)
	p.Exchange(ctx, s.c.conn.Timeout())
	answers, err := k.Answers()
	if err != nil {
		return err
	}
	return s.take(b, answers)
}

// write adds the commands that settle a batch.
func (s *settler) write(out *resp.Commands, b *settlement) {
	b.stored, b.told = 0, 0
	if len(b.safe) > 0 {
		s.writeSafe(out, b)
	}
	if len(b.fenced) > 0 {
		s.writeFenced(out, b)
	}
}

// take reads the answers to what write wrote, and takes out of the batch what Redis
// confirmed.
func (s *settler) take(b *settlement, answers []string) error {
	var failed error
	if len(b.safe) > 0 {
		tells, removed := answers[b.stored:b.stored+b.told], answers[b.stored+b.told:b.stored+b.told+2]
		reply := b.safe[0].delivery.Request.Reply
		failed = errors.Join(s.errorIn(answers[:b.stored], "hset", s.c.mailbox),
			s.errorIn(removed[:1], "xack", s.c.mailbox), s.errorIn(removed[1:], "xdel", s.c.mailbox))
		if failed == nil {
			s.settled(b.safe)
			b.safe = nil
		}
		s.c.dismissed(s.errorIn(tells, "publish", reply))
	}
	if len(b.fenced) > 0 {
		owned, err := resp.Words(answers[len(answers)-1])
		if err != nil {
			return s.c.conn.Explain(err, "evalsha", "", "", s.c.mailbox)
		}
		s.report(b.fenced, owned)
		b.fenced = nil
	}
	return failed
}

// errorIn is the first error in answers to commands of a name, on a key or a channel.
func (s *settler) errorIn(answers []string, name, on string) error {
	for _, answer := range answers {
		if answer[0] == '-' {
			_, err := resp.Word(answer)
			return s.c.conn.Explain(err, name, on)
		}
	}
	return nil
}

// writeSafe publishes all replies for one channel at once and removes the entries.
// A reply that Redis will not publish is lost; its asker asks again.
func (s *settler) writeSafe(out *resp.Commands, b *settlement) {
	var order []string
	lines := make(map[string][]byte, 1)
	for _, e := range b.safe {
		r := &e.delivery.Request
		if e.state == wire.StateExpired || !s.c.conn.Keys.MayReply(s.c.service, r.Reply) {
			continue
		}
		line, known := lines[r.Reply]
		if !known {
			order = append(order, r.Reply)
		}
		lines[r.Reply] = s.line(out, b, line, e)
	}
	for _, channel := range order {
		out.Begin(3)
		out.Text("publish")
		out.Text(channel)
		out.Raw(lines[channel])
		b.told++
	}
	out.Begin(3 + len(b.safe))
	out.Text("xack")
	out.Text(s.c.mailbox)
	out.Text(wire.Group)
	for _, e := range b.safe {
		out.Text(e.delivery.Entry)
	}
	out.Begin(2 + len(b.safe))
	out.Text("xdel")
	out.Text(s.c.mailbox)
	for _, e := range b.safe {
		out.Text(e.delivery.Entry)
	}
}

// line adds one reply line. A long envelope goes by a record of its own.
func (s *settler) line(out *resp.Commands, b *settlement, dst []byte, e *completion) []byte {
	r := &e.delivery.Request
	dst = append(append(dst, r.ID...), ' ')
	if len(e.envelope) <= wire.LargeReply {
		dst = append(append(dst, e.meta...), ' ')
		return append(append(dst, e.envelope...), '\n')
	}
	key := s.c.conn.Keys.Record(s.c.service, r.ID)
	out.Begin(4)
	out.Text("hset")
	out.Text(key)
	out.Text("outcome")
	out.Raw(slices.Concat(e.meta, []byte{' '}, e.envelope))
	out.Begin(3)
	out.Text("pexpire")
	out.Text(key)
	out.Number(wire.LargeReplyTTL.Milliseconds())
	b.stored += 2
	return append(append(dst, e.meta...), ",stored=1 -\n"...)
}

func (s *settler) writeFenced(out *resp.Commands, b *settlement) {
	out.Script(s.c.conn.Scripts.Settle, b.whole, 2+len(b.fenced), 1+8*len(b.fenced))
	out.Text(s.c.mailbox)
	out.Text(s.c.conn.Keys.Dead(s.c.service))
	for _, e := range b.fenced {
		out.Text(s.c.conn.Keys.Record(s.c.service, e.delivery.Request.ID))
	}
	out.Text(s.c.worker)
	for _, e := range b.fenced {
		out.Text(e.delivery.Entry)
		out.Text(e.delivery.Request.ID)
		out.Text(e.state)
		out.Raw(e.meta)
		out.Raw(e.envelope)
		out.Millis(e.store())
		out.Text(e.reason)
		out.Number(int64(e.delivery.Attempt))
	}
}

// report logs the outcomes that came too late: somebody else owns the request.
func (s *settler) report(endings []*completion, owned []string) {
	for i, e := range endings {
		if i < len(owned) && owned[i] == "0" {
			s.c.conn.Log().Warn("a late outcome was refused: the request is no longer this worker's",
				"service", s.c.service, "worker", s.c.worker, "request", e.delivery.Request.ID)
			continue
		}
		s.c.conn.Hook.At(bus.StepSettled, e.delivery.Request.ID)
	}
}

// settled calls the hook for safe requests, which nobody can refuse.
func (s *settler) settled(endings []*completion) {
	for _, e := range endings {
		s.c.conn.Hook.At(bus.StepSettled, e.delivery.Request.ID)
	}
}
