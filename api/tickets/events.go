package tickets

import (
	"bufio"
	"context"
	"net"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/oskadev/mailroom/api/exchange"
	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/wire"
)

// pingInterval is the time between two pings of a stream: only a failed write shows that
// a client has gone.
const pingInterval = 15 * time.Second

// pollInterval returns the time before a stream reads the state again, to see whether the
// request runs: 1 s, 2 s, 4 s and so on, at most 1 min. The end comes as a message.
func pollInterval(n int) time.Duration { return min(time.Second<<min(n, 6), time.Minute) }

// events streams the states of a request as server-sent events
// (https://html.spec.whatwg.org/multipage/server-sent-events.html), from the one after
// Last-Event-ID on, until the request ends or the stream has lived as long as it may.
func (s *Tickets) events(ctx, waits context.Context, c *fiber.Ctx, in *exchange.Request, t ticket) *exchange.Failure {
	record, err := s.client.Record(ctx, t.service, t.id)
	if f := s.checkAccess(in, t, record, err); f != nil {
		return f
	}
	last, _ := strconv.Atoi(c.Get("Last-Event-ID")) // missing or invalid: from the beginning
	c.Set(exchange.HeaderRequestID, in.RequestID)
	c.Set(fiber.HeaderCacheControl, "no-store")
	if record.Ended() && last >= rank(record.State) {
		c.Status(fiber.StatusNoContent) // tells the client not to connect again
		return nil
	}
	if in.Method == fiber.MethodHead {
		c.Set(fiber.HeaderContentType, "text/event-stream")
		return nil
	}
	who := s.cfg.Caller(c, in)
	if f := take(s.streams, who, "streams", pingInterval); f != nil {
		return f
	}
	c.Set(fiber.HeaderContentType, "text/event-stream")
	c.Set("X-Accel-Buffering", "no") // nginx would buffer events
	conn := c.Context().Conn()
	c.Context().SetBodyStreamWriter(func(w *bufio.Writer) {
		defer s.streams.Give(who)
		living, cancel := context.WithTimeout(waits, s.cfg.StreamLife)
		defer cancel()
		out := &stream{conn: conn, out: w, timeout: s.cfg.WriteTimeout}
		(&follower{tickets: s, ticket: t, last: last, tell: out.state, progress: out.progress, idle: out.ping}).run(living, record)
	})
	return nil
}

// rank orders the states. It is the ID of their events.
func rank(state string) int {
	switch state {
	case wire.StateQueued:
		return 1
	case wire.StateRunning:
		return 2
	case wire.StateCancelling:
		return 3
	default:
		return 4
	}
}

// follower follows the states of one request.
type follower struct {
	tickets *Tickets
	ticket  ticket
	last    int // the rank of the state that was told last
	// tell gets each new state with its rank, progress each report as JSON, and idle is
	// called when nothing happened for a while. An error ends the follower.
	tell     func(rank int, state wire.RequestState) error
	progress func(text string) error
	idle     func() error
}

// run follows the request until it has ended or the context ends.
func (s *follower) run(ctx context.Context, record caller.Record) {
	resumed := s.last >= rank(record.State)
	if s.send(ctx, record) != nil || record.Ended() {
		return
	}
	// A state tells the progress with it. A client that had this state may have missed reports.
	if resumed && record.Progress != "" && s.progress(record.Progress) != nil {
		return
	}
	watch, record, err := s.tickets.client.Watch(ctx, s.ticket.service, s.ticket.id)
	defer func() {
		if watch != nil {
			watch.Close()
		}
	}()
	for n := 0; err == nil && s.send(ctx, record) == nil && !record.Ended(); n++ {
		for next := time.Now().Add(pollInterval(n)); ; {
			var ended bool
			var progress string
			ended, progress, err = watch.Next(ctx, min(pingInterval, time.Until(next)))
			if err == nil && progress != "" {
				err = s.progress(progress)
			} else if err == nil {
				err = s.idle()
			}
			if err != nil {
				return
			}
			if ended || !time.Now().Before(next) {
				break
			}
		}
		record, err = s.tickets.client.Record(ctx, s.ticket.service, s.ticket.id)
		if watch.Ended() && err == nil && !record.Ended() { // it had expired or was cancelled, and was sent again
			watch.Close()
			watch, record, err = s.tickets.client.Watch(ctx, s.ticket.service, s.ticket.id)
		}
	}
}

// send tells a state unless it was told before.
func (s *follower) send(ctx context.Context, record caller.Record) error {
	if rank(record.State) <= s.last {
		return nil
	}
	if s.tickets.confirmed(ctx, s.ticket, record) != nil {
		return caller.ErrNotReplicated
	}
	s.last = rank(record.State)
	return s.tell(s.last, record.Tell(s.ticket.service, s.ticket.id))
}

// stream is a stream of server-sent events.
type stream struct {
	conn    net.Conn
	out     *bufio.Writer
	timeout time.Duration // of a write
}

// state writes a state as an event.
func (s *stream) state(rank int, state wire.RequestState) error {
	return s.write("id: " + strconv.Itoa(rank) + "\nevent: state\ndata: " + string(state.JSON()) + "\n\n")
}

// progress writes a report of progress as an event.
func (s *stream) progress(text string) error {
	return s.write("event: progress\ndata: " + text + "\n\n")
}

// ping writes a comment: only a failed write shows that a client has gone.
func (s *stream) ping() error { return s.write(": ping\n\n") }

// write writes and flushes text, within the write timeout.
func (s *stream) write(text string) error {
	_ = s.conn.SetWriteDeadline(time.Now().Add(s.timeout)) // a closed connection fails in the write
	if _, err := s.out.WriteString(text); err != nil {
		return err
	}
	return s.out.Flush()
}

// Follow passes the states of a request to tell, and its reports of progress, until it has
// ended or the context ends. Only the principal that made the request may follow it.
func (s *Tickets) Follow(ctx context.Context, in *exchange.Request, name string, tell func(wire.RequestState), progress func(text string)) (run func(), f *exchange.Failure) {
	t, ok := parseTicket(name)
	if !ok {
		return nil, unknownRequest()
	}
	record, err := s.client.Record(ctx, t.service, t.id)
	if f := s.checkAccess(in, t, record, err); f != nil {
		return nil, f
	}
	who := in.Principal.Key() // a socket bounds the subscriptions of an anonymous caller
	if f := take(s.waits, who, "subscriptions", pingInterval); f != nil {
		return nil, f
	}
	following := &follower{
		tickets: s, ticket: t, idle: func() error { return nil },
		tell:     func(_ int, state wire.RequestState) error { tell(state); return nil },
		progress: func(text string) error { progress(text); return nil },
	}
	return func() {
		defer s.waits.Give(who)
		following.run(ctx, record)
	}, nil
}
