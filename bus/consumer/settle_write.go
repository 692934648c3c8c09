package consumer

import (
	"slices"

	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/resp"
)

// write adds the commands that settle a batch.
func (s *settler) write(out *resp.Commands, b *settlement) {
	b.stored, b.published = 0, 0
	if len(b.safe) > 0 {
		s.writeSafe(out, b)
	}
	if len(b.fenced) > 0 {
		s.writeFenced(out, b)
	}
}

// writeSafe publishes all replies of one channel at once and removes the entries. A reply
// that Redis refuses to publish is lost; its caller calls again.
func (s *settler) writeSafe(out *resp.Commands, b *settlement) {
	var order []string
	lines := make(map[string][]byte, 1)
	for _, e := range b.safe {
		r := &e.delivery.Request
		if e.state == wire.StateExpired || !s.w.conn.Keys.MayReply(s.w.service, r.Reply) {
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
		b.published++
	}
	out.Begin(3 + len(b.safe))
	out.Text("xack")
	out.Text(s.w.mailbox)
	out.Text(wire.Group)
	for _, e := range b.safe {
		out.Text(e.delivery.Entry)
	}
	out.Begin(2 + len(b.safe))
	out.Text("xdel")
	out.Text(s.w.mailbox)
	for _, e := range b.safe {
		out.Text(e.delivery.Entry)
	}
}

// line appends one reply line. A long envelope is stored in a record of its own.
func (s *settler) line(out *resp.Commands, b *settlement, dst []byte, e *completion) []byte {
	r := &e.delivery.Request
	dst = append(append(dst, r.ID...), ' ')
	if len(e.envelope) <= wire.LargeReply {
		dst = append(append(dst, e.meta...), ' ')
		return append(append(dst, e.envelope...), '\n')
	}
	key := s.w.conn.Keys.Record(s.w.service, r.ID)
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

// writeFenced runs settle.lua for all fenced completions.
func (s *settler) writeFenced(out *resp.Commands, b *settlement) {
	out.Script(s.w.conn.Scripts.Settle, b.whole, 2+len(b.fenced), 1+8*len(b.fenced))
	out.Text(s.w.mailbox)
	out.Text(s.w.conn.Keys.Dead(s.w.service))
	for _, e := range b.fenced {
		out.Text(s.w.conn.Keys.Record(s.w.service, e.delivery.Request.ID))
	}
	out.Text(s.w.id)
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
