package caller

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/rediserr"
)

// sweepEvery is the interval at which the sweep looks for overdue waiters.
const sweepEvery = 250 * time.Millisecond

// sweeper finds the replies that pub/sub lost: of overdue waiters, and of all waiters
// after the subscription was renewed.
type sweeper struct {
	conn    *bus.Conn
	waiters *waiters
	writer  *writer
	lost    <-chan struct{} // replies may have been lost
}

// run sweeps until the context ends.
func (s *sweeper) run(ctx context.Context) {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for all := false; ; {
		select {
		case <-ticker.C:
		case <-s.lost:
			all = true
		case <-ctx.Done():
			return
		}
		all = !s.once(ctx, time.Now(), all)
	}
}

// once looks for the overdue replies, or for all. It reports false if Redis did not
// answer: all waiters must be checked again then, since their next checks may be far
// away.
func (s *sweeper) once(ctx context.Context, now time.Time, all bool) bool {
	for due := s.waiters.overdue(now, all); len(due) > 0; {
		n := min(len(due), writeBatch)
		if s.lookFor(ctx, due[:n]) != nil {
			return false
		}
		due = due[n:]
	}
	return true
}

// lookFor reads the state of requests from Redis, in one pipeline. An unsafe request
// has a record. A safe request is sent again if its entry has left the mailbox and its
// reply has not arrived by the next check.
func (s *sweeper) lookFor(ctx context.Context, due []lookup) error {
	ctx, cancel := context.WithTimeout(ctx, s.conn.Timeout())
	defer cancel()
	sizes, err := s.sizes(ctx, due)
	if err != nil {
		return err
	}
	pipe := s.conn.Redis().Pipeline()
	looks := make([]redis.Cmder, len(due))
	for i, d := range due {
		switch mailbox := s.conn.Keys.Requests(d.service); {
		case sizes[i] != nil && sizes[i].Val() > maxField:
			s.waiters.end(d.id, d.request, tooLargeResult(&d))
		case !d.request.Safe():
			looks[i] = pipe.HMGet(ctx, s.conn.Keys.Record(d.service, d.request.ID), recordFields()...)
		case d.entry != "":
			looks[i] = pipe.XRange(ctx, mailbox, d.entry, d.entry)
		}
	}
	_, err = pipe.Exec(ctx)
	if rediserr.IsServer(err) {
		err = nil
	}
	for i := range due { // a part of a cluster may be unreachable
		if looks[i] != nil || err == nil {
			s.resolve(&due[i], looks[i])
		}
	}
	return err
}

// sizes returns the lengths of the outcomes of unsafe requests.
func (s *sweeper) sizes(ctx context.Context, due []lookup) ([]*redis.IntCmd, error) {
	sizes := make([]*redis.IntCmd, len(due))
	pipe := s.conn.Redis().Pipeline()
	for i, d := range due {
		if !d.request.Safe() {
			sizes[i] = pipe.HStrLen(ctx, s.conn.Keys.Record(d.service, d.request.ID), "outcome")
		}
	}
	if pipe.Len() == 0 {
		return sizes, nil
	}
	if _, err := pipe.Exec(ctx); err != nil && !rediserr.IsServer(err) {
		return nil, err
	}
	return sizes, nil
}

// tooLargeResult ends the wait for an outcome that is too large.
func tooLargeResult(d *lookup) result {
	if d.watching || d.sending {
		return result{}
	}
	reply, err := wire.ParseOutcome(tooLarge(d.service))
	return result{reply: reply, err: err}
}

// resolve goes by the answer to one lookup.
func (s *sweeper) resolve(d *lookup, look redis.Cmder) {
	switch found := look.(type) {
	case *redis.SliceCmd:
		if found.Err() != nil {
			return
		}
		s.resolveUnsafe(d, newRecord(found.Val(), d.request))
	case *redis.XMessageSliceCmd:
		// A caller without the right to read the mailbox sends again in any case: the action may run twice.
		gone := found.Err() == nil && len(found.Val()) == 0 || rediserr.IsRefused(found.Err())
		if gone && s.waiters.goneBefore(d.id, d.request) {
			s.resend(d)
		}
	default: // it is not known whether Redis has the request
		if s.waiters.goneBefore(d.id, d.request) {
			s.resend(d)
		}
	}
}

// resolveUnsafe goes by the record of an unsafe request.
func (s *sweeper) resolveUnsafe(d *lookup, found record) {
	reply, err := found.answer()
	switch {
	case d.watching:
		if found.state == "" || found.ended() {
			s.waiters.end(d.id, d.request, result{})
		}
	case found.state == "", found.state == wire.StateExpired && !d.request.Expired(s.conn.Clock.Millis()):
		s.resend(d)
	case !errors.Is(err, errUnfinished):
		s.waiters.end(d.id, d.request, result{reply: reply, err: err})
	case d.sending:
		s.waiters.end(d.id, d.request, result{})
	}
}

// resend sends a request again under its ID.
func (s *sweeper) resend(d *lookup) {
	s.conn.Log().With(d.request.LogIDs()).Debug("sending a request again", "service", d.service)
	s.writer.add(outgoing{service: d.service, id: d.id, request: d.request, again: true})
}
