package bus

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/oskadev/mailroom/internal/backoff"
	"github.com/oskadev/mailroom/internal/batch"
)

// settlePatience is how long outcomes are tried to be settled once the worker
// has been told to stop and Redis does not take them.
const settlePatience = 5 * time.Second

// settler ends requests in batches: the safe ones by PUBLISH, XACK and XDEL in
// a pipeline, those that keep something by settle.lua in the same pipeline.
type settler struct {
	c       *Consumer
	batches *batch.Batcher[*ending]
	stop    <-chan struct{}
}

func newSettler(c *Consumer) *settler {
	s := &settler{c: c}
	s.batches = batch.New(writeBatch, s.flush)
	return s
}

func (s *settler) add(e *ending) { s.batches.Add(e) }

// settlers is how many batches are under way at once.
const settlers = 2

func (s *settler) run(ctx context.Context) {
	s.stop = ctx.Done()
	var running sync.WaitGroup
	for range settlers {
		running.Go(func() { s.batches.Run(ctx) })
	}
	running.Wait()
}

// settlement is one batch on its way.
type settlement struct {
	safe     []*ending // their replies may be lost: they can run again
	fenced   []*ending // settle.lua: only while this worker owns them
	confirms []redis.Cmder
	tells    []*redis.IntCmd // PUBLISH
	call     *writeCmd
	whole    bool // send the script, not its digest
}

// flush settles a batch, and gives up what Redis will not have.
func (s *settler) flush(items []*ending) {
	b := &settlement{}
	for _, e := range items {
		s.c.conn.hook.at(StepSettle, e.delivery.Request.ID)
		if e.state == StateDead || !e.delivery.Request.Safe() {
			b.fenced = append(b.fenced, e)
		} else {
			b.safe = append(b.safe, e)
		}
	}
	s.settle(b)
	s.c.ended(items)
}

// settle tries until Redis has answered: repeating is harmless, since what has
// ended is no longer owned. Neither a lost connection nor a Redis that is full,
// loading or failing over costs an outcome; meanwhile its slot stays taken. Only
// what Redis will never take is given up, each ending on its own.
func (s *settler) settle(b *settlement) {
	waits := backoff.New(20*time.Millisecond, time.Second)
	var patience <-chan time.Time
	stop := s.stop
	for {
		err := s.send(b)
		switch {
		case err == nil:
			return
		case s.c.dismissed(err): // others run these requests again
			s.giveUp(b)
			return
		case isNoScript(err) && !b.whole:
			b.whole = true
			continue
		case isHopeless(err) && len(b.safe)+len(b.fenced) == 1:
			s.c.conn.log.Error("Redis refuses an outcome; its request will be delivered again", "service", s.c.service, "error", err)
			s.giveUp(b)
			return
		case isHopeless(err):
			for _, one := range b.split() {
				s.settle(one)
			}
			return
		}
		wait := waits.Next()
		s.c.conn.log.Warn("settling outcomes failed, trying again", "service", s.c.service,
			"requests", len(b.safe)+len(b.fenced), "error", err, "retry_in", wait)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-stop:
			patience, stop = time.After(settlePatience), nil
		case <-patience:
			s.c.conn.log.Error("stopping with outcomes that are not settled; their requests will be delivered again",
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
		parts = append(parts, &settlement{safe: []*ending{e}})
	}
	for _, e := range b.fenced {
		parts = append(parts, &settlement{fenced: []*ending{e}, whole: b.whole})
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
func (s *settler) send(b *settlement) error {
	ctx, cancel := context.WithTimeout(context.Background(), s.c.conn.timeout)
	defer cancel()
	pipe := s.c.conn.rdb.Pipeline()
	b.confirms, b.tells = b.confirms[:0], b.tells[:0]
	if len(b.safe) > 0 {
		s.safe(ctx, pipe, b)
	}
	if len(b.fenced) > 0 {
		b.call = s.fenced(ctx, b.fenced, b.whole)
		_ = pipe.Process(ctx, b.call) // a pipeline only collects
	}
	if _, err := pipe.Exec(ctx); err != nil && !isServerError(err) {
		return err
	}
	var failed error
	for _, cmd := range b.confirms {
		failed = errors.Join(failed, cmd.Err())
	}
	if failed == nil {
		s.settled(b.safe)
		b.safe = nil
	}
	for _, told := range b.tells {
		s.c.dismissed(told.Err())
	}
	if len(b.fenced) > 0 {
		owned, err := b.call.Int64Slice()
		if err != nil {
			return err
		}
		s.report(b.fenced, owned)
		b.fenced = nil
	}
	return failed
}

// safe publishes all replies for one channel at once and removes the entries.
// A reply that Redis will not publish is lost; its asker asks again.
func (s *settler) safe(ctx context.Context, pipe redis.Pipeliner, b *settlement) {
	var order []string
	lines := make(map[string][]byte, 1)
	entries := make([]any, 0, 3+len(b.safe))
	entries = append(entries, "xack", s.c.mailbox, Group)
	for _, e := range b.safe {
		r := &e.delivery.Request
		entries = append(entries, e.delivery.Entry)
		if e.state == StateExpired || !s.c.conn.Keys.mayReply(s.c.service, r.Reply) {
			continue
		}
		line, known := lines[r.Reply]
		if !known {
			order = append(order, r.Reply)
		}
		lines[r.Reply] = s.line(ctx, pipe, b, line, e)
	}
	for _, channel := range order {
		b.tells = append(b.tells, pipe.Publish(ctx, channel, lines[channel]))
	}
	ack := newWriteCmd(ctx, entries...)
	del := newWriteCmd(ctx, append([]any{"xdel", s.c.mailbox}, entries[3:]...)...)
	_ = pipe.Process(ctx, ack) // a pipeline only collects
	_ = pipe.Process(ctx, del)
	b.confirms = append(b.confirms, ack, del)
}

// line adds one reply line. A long envelope goes by a record of its own.
func (s *settler) line(ctx context.Context, pipe redis.Pipeliner, b *settlement, dst []byte, e *ending) []byte {
	r := &e.delivery.Request
	dst = append(append(dst, r.ID...), ' ')
	if len(e.envelope) <= LargeReply {
		dst = append(append(dst, e.meta...), ' ')
		return append(append(dst, e.envelope...), '\n')
	}
	key := s.c.conn.Keys.Record(s.c.service, r.ID)
	b.confirms = append(b.confirms,
		pipe.HSet(ctx, key, "outcome", string(e.meta)+" "+string(e.envelope)),
		pipe.PExpire(ctx, key, LargeReplyTTL))
	return append(append(dst, e.meta...), ",stored=1 -\n"...)
}

func (s *settler) fenced(ctx context.Context, endings []*ending, whole bool) *writeCmd {
	keys := make([]string, 0, 2+len(endings))
	args := make([]any, 0, 1+8*len(endings))
	keys = append(keys, s.c.mailbox, s.c.conn.Keys.Dead(s.c.service))
	args = append(args, s.c.worker)
	for _, e := range endings {
		r := &e.delivery.Request
		keys = append(keys, s.c.conn.Keys.Record(s.c.service, r.ID))
		args = append(args, e.delivery.Entry, r.ID, e.state, e.meta, e.envelope, millis(e.store()),
			e.reason, strconv.Itoa(e.delivery.Attempt))
	}
	return s.c.conn.scripts.settle.command(ctx, whole, keys, args)
}

// report logs the outcomes that came too late: somebody else owns the request.
func (s *settler) report(endings []*ending, owned []int64) {
	for i, e := range endings {
		if i < len(owned) && owned[i] == 0 {
			s.c.conn.log.Warn("a late outcome was refused: the request is no longer this worker's",
				"service", s.c.service, "worker", s.c.worker, "request", e.delivery.Request.ID)
			continue
		}
		s.c.conn.hook.at(StepSettled, e.delivery.Request.ID)
	}
}

// settled calls the hook for safe requests, which nobody can refuse.
func (s *settler) settled(endings []*ending) {
	for _, e := range endings {
		s.c.conn.hook.at(StepSettled, e.delivery.Request.ID)
	}
}
