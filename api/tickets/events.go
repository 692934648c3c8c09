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

// pingEvery is how often a stream of events says that it is still there: a
// client that has gone shows itself in nothing else.
const pingEvery = 15 * time.Second

// looksAgain is how often a stream looks by itself whether its request runs by
// now: after 1 s, 2 s, 4 s and so on, each minute in the end. Its end it is told.
func looksAgain(n int) time.Duration { return min(time.Second<<min(n, 6), time.Minute) }

// events streams the states of a request as server-sent events
// (https://html.spec.whatwg.org/multipage/server-sent-events.html), from the one
// behind Last-Event-ID on, and ends with the request.
func (s *Tickets) events(ctx, waits context.Context, c *fiber.Ctx, in *exchange.Request, t ticket) *exchange.Failure {
	record, err := s.client.Record(ctx, t.service, t.id)
	if f := s.mayKnow(in, t, record, err); f != nil {
		return f
	}
	last, _ := strconv.Atoi(c.Get("Last-Event-ID")) // none, or none of ours: from the beginning
	c.Set(exchange.HeaderRequestID, in.RequestID)
	c.Set(fiber.HeaderCacheControl, "no-store")
	if record.Ended() && last >= rank(record.State) {
		c.Status(fiber.StatusNoContent) // so that the client does not come again
		return nil
	}
	if in.Method == fiber.MethodHead {
		c.Set(fiber.HeaderContentType, "text/event-stream")
		return nil
	}
	if s.watching.Add(1) > maxWatchers {
		s.watching.Add(-1)
		return exchange.Fail(wire.CodeOverloaded, "too many callers wait here").After(pingEvery)
	}
	c.Set(fiber.HeaderContentType, "text/event-stream")
	c.Set("X-Accel-Buffering", "no") // nginx would keep events back
	stream := &stream{tickets: s, ticket: t, last: last, conn: c.Context().Conn()}
	c.Context().SetBodyStreamWriter(func(w *bufio.Writer) {
		defer s.watching.Add(-1)
		stream.out = w
		stream.run(waits, record)
	})
	return nil
}

// rank orders the states: it is the ID of their events.
func rank(state string) int {
	switch state {
	case wire.StateQueued:
		return 1
	case wire.StateRunning:
		return 2
	default:
		return 3
	}
}

// stream is one client's stream of events.
type stream struct {
	tickets *Tickets
	ticket  ticket
	last    int // the rank of the state that was told last
	conn    net.Conn
	out     *bufio.Writer
}

// run tells each new state, until the last one, or the client or the gateway
// goes away. What it cannot learn now, a client that comes again will.
func (s *stream) run(ctx context.Context, record caller.Record) {
	if s.tell(ctx, record) != nil || record.Ended() {
		return
	}
	watching, record, err := s.tickets.client.Watch(ctx, s.ticket.service, s.ticket.id)
	defer func() {
		if watching != nil {
			watching.Close()
		}
	}()
	for n := 0; err == nil && s.tell(ctx, record) == nil && !record.Ended(); n++ {
		for again := time.Now().Add(looksAgain(n)); ; {
			var ended bool
			ended, err = watching.Wait(ctx, min(pingEvery, time.Until(again)))
			if err != nil || s.write(": ping\n\n") != nil {
				return
			}
			if ended || !time.Now().Before(again) {
				break
			}
		}
		record, err = s.tickets.client.Record(ctx, s.ticket.service, s.ticket.id)
		if watching.Ended() && err == nil && !record.Ended() { // it never ran, and was sent anew
			watching.Close()
			watching, record, err = s.tickets.client.Watch(ctx, s.ticket.service, s.ticket.id)
		}
	}
}

func (s *stream) tell(ctx context.Context, record caller.Record) error {
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

func (s *stream) write(text string) error {
	_ = s.conn.SetWriteDeadline(time.Now().Add(s.tickets.writeTimeout)) // a connection that is gone shows in the write
	if _, err := s.out.WriteString(text); err != nil {
		return err
	}
	return s.out.Flush()
}
