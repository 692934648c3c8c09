package caller

import (
	"context"
	"errors"
	"time"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/rediserr"
	"github.com/oskadev/mailroom/internal/resp"
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

	pipeline *resp.Pipeline // run closes it
}

func newSweeper(conn *bus.Conn, waiters *waiters, writer *writer, lost <-chan struct{}) *sweeper {
	return &sweeper{conn: conn, waiters: waiters, writer: writer, lost: lost, pipeline: conn.NewBoundedPipeline(resp.Limits{String: maxField})}
}

// run sweeps until the context ends.
func (s *sweeper) run(ctx context.Context) {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	defer s.pipeline.Close()
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
// reply has not arrived by the next check. A field over maxField counts as missing.
func (s *sweeper) lookFor(ctx context.Context, due []lookup) error {
	ctx, cancel := context.WithTimeout(ctx, s.conn.Timeout())
	defer cancel()
	looks := make([]look, len(due))
	for i := range due {
		looks[i] = s.look(ctx, &due[i])
	}
	s.pipeline.Exchange(ctx, s.conn.Timeout())
	var failed error
	for i := range looks {
		answer, err := looks[i].answer()
		if err != nil && !rediserr.IsServer(err) {
			failed = err
		}
		looks[i].reply, looks[i].err = answer, err
	}
	for i := range due { // a part of a cluster may be unreachable
		if looks[i].conn != nil || failed == nil {
			s.resolve(&due[i], &looks[i])
		}
	}
	return failed
}

// look is one command of a pipeline.
type look struct {
	conn  *resp.Conn // nil: none was sent
	index int
	reply string
	err   error
}

// look adds the command that looks for one request.
func (s *sweeper) look(ctx context.Context, d *lookup) look {
	mailbox := s.conn.Keys.Requests(d.service)
	if d.request.Safe() && d.entry == "" {
		return look{}
	}
	conn, err := s.pipeline.Conn(ctx, mailbox)
	if err != nil {
		return look{err: err}
	}
	l := look{conn: conn, index: conn.Out.Len()}
	if d.request.Safe() {
		conn.Out.Add("xrange", mailbox, d.entry, d.entry)
	} else {
		conn.Out.Add(append([]string{"hmget", s.conn.Keys.Record(d.service, d.request.ID)}, recordFields()...)...)
	}
	return l
}

// answer returns the answer to the command.
func (l *look) answer() (string, error) {
	if l.conn == nil {
		return "", l.err
	}
	answers, err := l.conn.Answers()
	if err != nil {
		return "", err
	}
	if answer := answers[l.index]; answer[0] != '-' {
		return answer, nil
	}
	_, err = resp.Word(answers[l.index])
	return "", err
}

// resolve goes by the answer to one lookup.
func (s *sweeper) resolve(d *lookup, found *look) {
	if found.conn != nil && !d.request.Safe() {
		values, err := resp.Words(found.reply)
		if found.err == nil && err == nil {
			s.resolveUnsafe(d, newRecord(values, d.request).whenTooLarge(d.service))
		}
		return
	}
	if found.conn != nil { // of a safe request
		// A caller without the right to read the mailbox sends again in any case: the action may run twice.
		entries, err := resp.NewReader(found.reply).Array()
		if refused := rediserr.IsRefused(found.err); !refused && (found.err != nil || err != nil || entries > 0) {
			return
		}
	}
	if s.waiters.goneBefore(d.id, d.request) { // or it is not known whether Redis has the request
		s.resend(d)
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
