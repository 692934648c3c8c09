package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/wire"
	calls "github.com/oskadev/mailroom/internal/call"
)

// ticket names a request that its callers may come back for.
type ticket struct{ service, id string }

// Methods of the paths of requests.
const (
	requestMethods = "GET, HEAD, DELETE, OPTIONS"
	eventMethods   = ownMethods
)

// maxWatchers bounds how many callers may wait at one gateway for the ends of
// requests, by long polling and by events.
const maxWatchers = 20_000

// request serves /requests/<service>.<id>, at any gateway: what became of an
// unsafe request, its states as events, and its cancelling. Only the principal
// that made it may ask; where nobody had to say, whoever knows its ID, which nobody
// guesses.
func (s *Server) request(c *fiber.Ctx, in *call, name string) {
	name, events := strings.CutSuffix(name, "/events")
	get := in.method == fiber.MethodGet || in.method == fiber.MethodHead
	switch {
	case events && !get:
		s.only(c, in, eventMethods)
		return
	case !get && in.method != fiber.MethodDelete:
		s.only(c, in, requestMethods)
		return
	}
	var t ticket
	t.service, t.id, _ = strings.Cut(name, ".")
	if wire.CheckServiceName(t.service) != nil && t.service != wire.ReservedService || len(t.id) != 36 || uuid.Validate(t.id) != nil {
		s.refuse(c, in, nil, unknownRequest())
		return
	}
	t.id = strings.ToLower(t.id)
	if !s.client.Ready() {
		s.refuse(c, in, nil, unavailable("Redis is not reachable"))
		return
	}
	var f *failure
	switch {
	case events:
		f = s.events(c, in, t)
	case in.method == fiber.MethodDelete:
		f = s.cancel(c, in, t)
	default:
		f = s.tell(c, in, t)
	}
	if f != nil {
		s.refuse(c, in, nil, f)
	}
}

func unknownRequest() *failure {
	return fail(wire.CodeNotFound, "nothing is known of this request: it never was, keeps nothing, or ended too long ago")
}

// mayKnow turns what a look at a record gave into an answer, unless the caller may
// be shown the record. To others there is none.
func (s *Server) mayKnow(in *call, t ticket, record caller.Record, err error) *failure {
	switch {
	case errors.Is(err, caller.ErrNoRecord) || err == nil && record.Principal != "" && record.Principal != in.principal.Key():
		return unknownRequest()
	case err != nil:
		s.log.Warn("a request could not be looked up", "service", t.service, "request", t.id, "error", err)
		return unavailable("Redis is not reachable")
	}
	return nil
}

// tell answers with the state of a request; with ?wait=SECONDS once it has ended.
func (s *Server) tell(c *fiber.Ctx, in *call, t ticket) *failure {
	wait, f := waitIn(in.query)
	if f != nil {
		return f
	}
	record, err := caller.FindRecord(s.calls, s.conn, t.service, t.id)
	if f := s.mayKnow(in, t, record, err); f != nil {
		return f
	}
	if wait > 0 && !record.Ended() {
		if s.watchers.Add(1) > maxWatchers {
			s.watchers.Add(-1)
			return fail(wire.CodeOverloaded, "too many callers wait here").after(wait)
		}
		record, err = s.awaitEnd(t, wait)
		s.watchers.Add(-1)
		if f := s.mayKnow(in, t, record, err); f != nil {
			return f
		}
	}
	if f := s.confirmed(t, record); f != nil {
		return f
	}
	return s.writeState(c, in, fiber.StatusOK, record.Tell(t.service, t.id))
}

// confirmed says whether an outcome may be told: where it has to be on replicas,
// once it is.
func (s *Server) confirmed(t ticket, record caller.Record) *failure {
	if record.State != wire.StateDone {
		return nil
	}
	if err := s.client.Confirm(s.calls, t.service); err != nil {
		return fail(wire.CodeTimeout, "the outcome is not safely stored yet").at(wire.Location(t.service, t.id))
	}
	return nil
}

// awaitEnd waits for the end of a request, or of the time, or of the gateway.
func (s *Server) awaitEnd(t ticket, most time.Duration) (caller.Record, error) {
	watching, record, err := s.client.Watch(s.waits, t.service, t.id)
	if watching != nil {
		_, err = watching.Wait(s.waits, most)
		watching.Close()
	}
	if watching == nil && err == nil || err != nil && s.waits.Err() == nil {
		return record, err
	}
	return caller.FindRecord(s.calls, s.conn, t.service, t.id)
}

// waitIn reads how long a caller wants to wait.
func waitIn(query string) (time.Duration, *failure) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return 0, badRequest(problem{Field: "query", Problem: "not valid percent-encoding"})
	}
	text := values.Get("wait")
	if text == "" {
		return 0, nil
	}
	seconds, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0, badRequest(problem{Field: "wait", Problem: "not a number of seconds"})
	}
	return min(time.Duration(seconds)*time.Second, mostWait), nil
}

func (s *Server) writeState(c *fiber.Ctx, in *call, status int, state wire.RequestState) *failure {
	result, err := json.Marshal(state)
	if err != nil {
		return fail(wire.CodeInternal, "internal error")
	}
	writeEnvelope(c.Response(), status, string(wire.Success(result)), in.requestID)
	c.Set(fiber.HeaderCacheControl, "no-store")
	if !(caller.Record{State: state.State}).Ended() {
		c.Set(fiber.HeaderRetryAfter, "1")
	}
	return nil
}

// cancel ends a request that still waits.
func (s *Server) cancel(c *fiber.Ctx, in *call, t ticket) *failure {
	record, err := caller.FindRecord(s.calls, s.conn, t.service, t.id)
	if f := s.mayKnow(in, t, record, err); f != nil {
		return f
	}
	record, err = caller.Cancel(s.calls, s.conn, t.service, t.id)
	if f := s.mayKnow(in, t, record, err); f != nil {
		return f
	}
	switch record.State {
	case wire.StateCancelled:
		return s.writeState(c, in, fiber.StatusOK, record.Tell(t.service, t.id))
	case wire.StateRunning, wire.StateQueued:
		return fail(wire.CodeConflict, "the request runs already").with(map[string]string{"state": record.State})
	default:
		return fail(wire.CodeConflict, "the request has ended already").with(map[string]string{"state": record.State})
	}
}

// accept sends a request without waiting for its outcome.
func (s *Server) accept(c *fiber.Ctx, in *call, r *route, request *calls.Call, prefer preference) *failure {
	if _, err := s.caller.Send(s.calls, request); err != nil {
		return s.explain(in, r, err)
	}
	if in.keyed { // it may have been sent long before
		return s.ticketInstead(c, in, r, prefer)
	}
	return s.writeTicket(c, in, r, prefer, wire.StateQueued)
}

// ticketInstead answers with the ticket of a request whose outcome was not there
// in time.
func (s *Server) ticketInstead(c *fiber.Ctx, in *call, r *route, prefer preference) *failure {
	record, err := caller.FindRecord(s.calls, s.conn, r.service, in.id.String())
	if err != nil {
		if !errors.Is(err, caller.ErrNoRecord) && !errors.Is(err, context.Canceled) {
			s.log.Warn("a request could not be looked up", "service", r.service, "request", in.id, "error", err)
		}
		return s.explain(in, r, wire.NewError(wire.CodeTimeout, r.service+" did not answer in time").WithCause(caller.ErrTimeout)) // whether it was accepted is not known
	}
	return s.writeTicket(c, in, r, prefer, record.State)
}

func (s *Server) writeTicket(c *fiber.Ctx, in *call, r *route, prefer preference, state string) *failure {
	f := s.writeState(c, in, fiber.StatusAccepted, wire.RequestState{
		ID: in.id.String(), Service: r.service, Action: r.action.Name, State: state,
	})
	c.Set(fiber.HeaderLocation, in.outcomeAt(r))
	c.Set(fiber.HeaderRetryAfter, "1")
	c.Set("Preference-Applied", prefer.applied)
	return f
}
