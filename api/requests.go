package api

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/wire"
	calls "github.com/oskadev/mailroom/internal/call"
)

// tickets serves the outcomes of requests, at any gateway.
type tickets struct {
	client       *caller.Client
	writeTimeout time.Duration // for each event
	log          *slog.Logger
	watching     atomic.Int64 // callers that wait for the end of a request
}

func newTickets(client *caller.Client, writeTimeout time.Duration, log *slog.Logger) *tickets {
	return &tickets{client: client, writeTimeout: writeTimeout, log: log}
}

// ticket names a request whose caller may come back for its outcome.
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
func (s *tickets) serve(ctx, waits context.Context, c *fiber.Ctx, in *call, name string) {
	name, events := strings.CutSuffix(name, "/events")
	get := in.method == fiber.MethodGet || in.method == fiber.MethodHead
	switch {
	case events && !get:
		only(c, in, eventMethods)
		return
	case !get && in.method != fiber.MethodDelete:
		only(c, in, requestMethods)
		return
	}
	var t ticket
	t.service, t.id, _ = strings.Cut(name, ".")
	if wire.CheckServiceName(t.service) != nil && t.service != wire.ReservedService || len(t.id) != 36 || uuid.Validate(t.id) != nil {
		refuse(c, in, unknownRequest())
		return
	}
	t.id = strings.ToLower(t.id)
	if !s.client.Ready() {
		refuse(c, in, unavailable("Redis is not reachable"))
		return
	}
	var f *failure
	switch {
	case events:
		f = s.events(ctx, waits, c, in, t)
	case in.method == fiber.MethodDelete:
		f = s.cancel(ctx, c, in, t)
	default:
		f = s.tell(ctx, waits, c, in, t)
	}
	if f != nil {
		refuse(c, in, f)
	}
}

func unknownRequest() *failure {
	return fail(wire.CodeNotFound, "nothing is known of this request: it never was, keeps nothing, or ended too long ago")
}

// mayKnow turns what a look at a record gave into an answer, unless the caller may
// be shown the record. To others there is none.
func (s *tickets) mayKnow(in *call, t ticket, record caller.Record, err error) *failure {
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
func (s *tickets) tell(ctx, waits context.Context, c *fiber.Ctx, in *call, t ticket) *failure {
	wait, f := waitIn(in.query)
	if f != nil {
		return f
	}
	record, err := s.client.Record(ctx, t.service, t.id)
	if f := s.mayKnow(in, t, record, err); f != nil {
		return f
	}
	if wait > 0 && !record.Ended() {
		if s.watching.Add(1) > maxWatchers {
			s.watching.Add(-1)
			return fail(wire.CodeOverloaded, "too many callers wait here").after(wait)
		}
		record, err = s.awaitEnd(ctx, waits, t, wait)
		s.watching.Add(-1)
		if f := s.mayKnow(in, t, record, err); f != nil {
			return f
		}
	}
	if f := s.confirmed(ctx, t, record); f != nil {
		return f
	}
	return writeState(c, in, fiber.StatusOK, record.Tell(t.service, t.id))
}

// confirmed says whether an outcome may be told: where it has to be on replicas,
// once it is.
func (s *tickets) confirmed(ctx context.Context, t ticket, record caller.Record) *failure {
	if record.State != wire.StateDone {
		return nil
	}
	if err := s.client.Confirm(ctx, t.service); err != nil {
		return fail(wire.CodeTimeout, "the outcome is not safely stored yet").at(wire.Location(t.service, t.id))
	}
	return nil
}

// awaitEnd waits for the end of a request, or of the time, or of the gateway.
func (s *tickets) awaitEnd(ctx, waits context.Context, t ticket, most time.Duration) (caller.Record, error) {
	watching, record, err := s.client.Watch(waits, t.service, t.id)
	if watching != nil {
		_, err = watching.Wait(waits, most)
		watching.Close()
	}
	if watching == nil && err == nil || err != nil && waits.Err() == nil {
		return record, err
	}
	return s.client.Record(ctx, t.service, t.id)
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

func writeState(c *fiber.Ctx, in *call, status int, state wire.RequestState) *failure {
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
func (s *tickets) cancel(ctx context.Context, c *fiber.Ctx, in *call, t ticket) *failure {
	record, err := s.client.Record(ctx, t.service, t.id)
	if f := s.mayKnow(in, t, record, err); f != nil {
		return f
	}
	record, err = s.client.Cancel(ctx, t.service, t.id)
	if f := s.mayKnow(in, t, record, err); f != nil {
		return f
	}
	switch record.State {
	case wire.StateCancelled:
		return writeState(c, in, fiber.StatusOK, record.Tell(t.service, t.id))
	case wire.StateRunning, wire.StateQueued:
		return fail(wire.CodeConflict, "the request runs already").with(map[string]string{"state": record.State})
	default:
		return fail(wire.CodeConflict, "the request has ended already").with(map[string]string{"state": record.State})
	}
}

// state returns the state of a request.
func (s *tickets) state(ctx context.Context, service, id string) (state string, found bool) {
	record, err := s.client.Record(ctx, service, id)
	if err != nil && !errors.Is(err, caller.ErrNoRecord) && !errors.Is(err, context.Canceled) {
		s.log.Warn("a request could not be looked up", "service", service, "request", id, "error", err)
	}
	return record.State, err == nil
}

// write answers 202 with the ticket of a request: where its outcome will be.
func (s *tickets) write(c *fiber.Ctx, in *call, location string, prefer preference, state string) *failure {
	f := writeState(c, in, fiber.StatusAccepted, wire.RequestState{
		ID: in.id.String(), Service: in.service, Action: in.action, State: state,
	})
	c.Set(fiber.HeaderLocation, location)
	c.Set(fiber.HeaderRetryAfter, "1")
	c.Set("Preference-Applied", prefer.applied)
	return f
}

// prepare reads the headers of an unsafe call: Idempotency-Key and Prefer.
func (s *tickets) prepare(c *fiber.Ctx, in *call, request *calls.Call) (preference, *failure) {
	if c.Request().Header.Peek(HeaderIdempotencyKey) != nil {
		key, f := idempotencyKey(c.Get(HeaderIdempotencyKey))
		if f != nil {
			return preference{}, f
		}
		secret := s.client.Secret()
		if secret == nil {
			return preference{}, unavailable("Redis is not reachable")
		}
		in.id, in.keyed = keyedID(secret, in.principal.Key(), in.service, in.action, key), true
		request.Shared, request.Store = true, keyedStore
	}
	prefer := preferenceIn(c.Get("Prefer"))
	if prefer.given() {
		request.Endless, request.Wait, request.Timeout = true, true, prefer.wait
	}
	return prefer, nil
}
