package tickets

import (
	"bufio"
	"context"
	"encoding/json"
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
// Last-Event-ID on, until the request ends.
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
	if s.watching.Add(1) > maxWatchers {
		s.watching.Add(-1)
		return exchange.Fail(wire.CodeOverloaded, "too many callers wait here").After(pingInterval)
	}
	c.Set(fiber.HeaderContentType, "text/event-stream")
	c.Set("X-Accel-Buffering", "no") // nginx would buffer events
	stream := &stream{tickets: s, ticket: t, last: last, conn: c.Context().Conn()}
	c.Context().SetBodyStreamWriter(func(w *bufio.Writer) {
		defer s.watching.Add(-1)
		stream.out = w
		stream.run(waits, record)
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

// stream is the stream of events of one client.
type stream struct {
	tickets *Tickets
	ticket  ticket
	last    int // the rank of the state that was sent last
	conn    net.Conn
	out     *bufio.Writer
}

// run sends each new state until the last one, or until the client leaves or the gateway
// stops. On an error it ends: the client connects again.
func (s *stream) run(ctx context.Context, record caller.Record) {
	if s.send(ctx, record) != nil || record.Ended() {
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
			event := ": ping\n\n"
			if progress != "" {
				event = "event: progress\ndata: " + progress + "\n\n"
			}
			if err != nil || s.write(event) != nil {
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

// send sends a state unless it was sent before.
func (s *stream) send(ctx context.Context, record caller.Record) error {
	if rank(record.State) <= s.last {
		return nil
	}
	if s.tickets.confirmed(ctx, s.ticket, record) != nil {
		return caller.ErrNotReplicated
	}
	data, err := json.Marshal(record.Tell(s.ticket.service, s.ticket.id))
	if err != nil {
		return err
	}
	s.last = rank(record.State)
	return s.write("id: " + strconv.Itoa(s.last) + "\nevent: state\ndata: " + string(data) + "\n\n")
}

// write writes and flushes text, within the write timeout.
func (s *stream) write(text string) error {
	_ = s.conn.SetWriteDeadline(time.Now().Add(s.tickets.writeTimeout)) // a closed connection fails in the write
	if _, err := s.out.WriteString(text); err != nil {
		return err
	}
	return s.out.Flush()
}
