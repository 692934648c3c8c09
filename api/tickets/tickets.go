package tickets

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

	"github.com/oskadev/mailroom/api/exchange"
	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/wire"
	calls "github.com/oskadev/mailroom/internal/call"
	"github.com/oskadev/mailroom/internal/share"
)

// Tickets serves the outcomes of requests. It is safe for concurrent use.
type Tickets struct {
	cfg     Config
	client  *caller.Client
	log     *slog.Logger
	waits   *share.Shares[string] // callers that wait for the end of a request, by caller
	streams *share.Shares[string] // of events, by caller
}

// Config configures Tickets. All fields are required.
type Config struct {
	// Client reads and follows the records of requests.
	Client *caller.Client
	// WriteTimeout bounds the write of each event.
	WriteTimeout time.Duration
	// Caller names who waits.
	Caller func(*fiber.Ctx, *exchange.Request) string
	// StreamLife is the maximum life of a stream of events.
	StreamLife time.Duration
	// Streams is the maximum number of streams of one caller.
	Streams int
	// Log receives failed lookups.
	Log *slog.Logger
}

// New returns tickets.
func New(cfg Config) *Tickets {
	return &Tickets{
		cfg: cfg, client: cfg.Client, log: cfg.Log,
		waits: share.New[string](maxWatchers, maxWatchers/4), streams: share.New[string](maxWatchers, cfg.Streams),
	}
}

// ticket names a request.
type ticket struct{ service, id string }

// Methods of the paths.
const (
	requestMethods = "GET, HEAD, DELETE, OPTIONS"
	eventMethods   = exchange.ReadMethods
)

// maxWatchers bounds the callers that wait at one gateway for the ends of requests: by long
// polling and on sockets together, and by streams of events. One caller may have a quarter of
// the waits.
const maxWatchers = 20_000

// take takes one of something bounded for a caller, or fails.
func take(from *share.Shares[string], who, what string, retry time.Duration) *exchange.Failure {
	switch from.Take(who) {
	case share.Granted:
		return nil
	case share.OwnUsedUp:
		return exchange.Fail(wire.CodeRateLimited, "too many "+what+" of this caller are open").After(retry)
	default:
		return exchange.Fail(wire.CodeOverloaded, "too many callers wait here").After(retry)
	}
}

// Serve serves /requests/<name>, where name is <service>.<id> or <service>.<id>/events: the
// state of a request, its states as events, and its cancellation. Only the principal that
// made the request has access. Every caller that knows its random ID has access to a request
// of an anonymous caller. waits ends when the gateway stops: then callers wait no longer.
func (s *Tickets) Serve(ctx, waits context.Context, c *fiber.Ctx, in *exchange.Request, name string) {
	name, events := strings.CutSuffix(name, "/events")
	get := in.Method == fiber.MethodGet || in.Method == fiber.MethodHead
	switch {
	case events && !get:
		exchange.RefuseMethod(c, in, eventMethods)
		return
	case !get && in.Method != fiber.MethodDelete:
		exchange.RefuseMethod(c, in, requestMethods)
		return
	}
	t, ok := parseTicket(name)
	if !ok {
		exchange.Refuse(c, in, unknownRequest())
		return
	}
	if !s.client.Ready() {
		exchange.Refuse(c, in, exchange.Unavailable("Redis is not reachable"))
		return
	}
	var f *exchange.Failure
	switch {
	case events:
		f = s.events(ctx, waits, c, in, t)
	case in.Method == fiber.MethodDelete:
		f = s.cancel(ctx, c, in, t)
	default:
		f = s.answer(ctx, waits, c, in, t)
	}
	if f != nil {
		exchange.Refuse(c, in, f)
	}
}

// parseTicket parses <service>.<id>.
func parseTicket(name string) (t ticket, ok bool) {
	t.service, t.id, _ = strings.Cut(name, ".")
	ok = wire.CheckServiceName(t.service) == nil || t.service == wire.ReservedService
	ok = ok && len(t.id) == 36 && uuid.Validate(t.id) == nil
	t.id = strings.ToLower(t.id)
	return t, ok
}

// unknownRequest returns the failure for a request without a record, or of another
// principal.
func unknownRequest() *exchange.Failure {
	return exchange.Fail(wire.CodeNotFound, "nothing is known of this request: it never was, keeps nothing, or ended too long ago")
}

// checkAccess returns the failure of a lookup, or NOT_FOUND where the record belongs to
// another principal, or to a request that another one made.
func (s *Tickets) checkAccess(in *exchange.Request, t ticket, record caller.Record, err error) *exchange.Failure {
	switch {
	case errors.Is(err, caller.ErrNoRecord) || err == nil && (record.Internal || record.Principal != "" && record.Principal != in.Principal.Key()):
		return unknownRequest()
	case err != nil:
		s.log.Warn("a request could not be looked up", "service", t.service, "correlation_id", t.id, "error", err)
		return exchange.Unavailable("Redis is not reachable")
	}
	return nil
}

// answer answers with the state of a request; with ?wait=SECONDS after it has ended, or
// after that time.
func (s *Tickets) answer(ctx, waits context.Context, c *fiber.Ctx, in *exchange.Request, t ticket) *exchange.Failure {
	wait, f := parseWait(in.Query)
	if f != nil {
		return f
	}
	record, err := s.client.Record(ctx, t.service, t.id)
	if f := s.checkAccess(in, t, record, err); f != nil {
		return f
	}
	if wait > 0 && !record.Ended() {
		who := s.cfg.Caller(c, in)
		if f := take(s.waits, who, "waits", wait); f != nil {
			return f
		}
		record, err = s.awaitEnd(ctx, waits, t, wait)
		s.waits.Give(who)
		if f := s.checkAccess(in, t, record, err); f != nil {
			return f
		}
	}
	if f := s.confirmed(ctx, t, record); f != nil {
		return f
	}
	return writeState(c, in, fiber.StatusOK, record.Tell(t.service, t.id))
}

// confirmed returns a failure while the end of a request is not on enough replicas.
func (s *Tickets) confirmed(ctx context.Context, t ticket, record caller.Record) *exchange.Failure {
	if err := s.client.Confirm(ctx, t.service, t.id, record); err != nil {
		return exchange.Fail(wire.CodeTimeout, "the outcome is not safely stored yet").At(wire.Location(t.service, t.id))
	}
	return nil
}

// awaitEnd waits for the end of a request, at most for a time or until the gateway stops.
// It returns the record after the wait.
func (s *Tickets) awaitEnd(ctx, waits context.Context, t ticket, timeout time.Duration) (caller.Record, error) {
	watch, record, err := s.client.Watch(waits, t.service, t.id)
	if watch != nil {
		_, err = watch.Wait(waits, timeout)
		watch.Close()
	}
	if watch == nil && err == nil || err != nil && waits.Err() == nil {
		return record, err
	}
	return s.client.Record(ctx, t.service, t.id)
}

// parseWait parses the query parameter wait.
func parseWait(query string) (time.Duration, *exchange.Failure) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return 0, exchange.BadRequest(exchange.Problem{Field: "query", Problem: "not valid percent-encoding"})
	}
	text := values.Get("wait")
	if text == "" {
		return 0, nil
	}
	seconds, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0, exchange.BadRequest(exchange.Problem{Field: "wait", Problem: "not a number of seconds"})
	}
	return min(time.Duration(seconds)*time.Second, maxWait), nil
}

// writeState answers with the state of a request.
func writeState(c *fiber.Ctx, in *exchange.Request, status int, state wire.RequestState) *exchange.Failure {
	exchange.WriteEnvelope(c.Response(), status, string(state.Envelope()), in.RequestID)
	c.Set(fiber.HeaderCacheControl, "no-store")
	if !(caller.Record{State: state.State}).Ended() {
		c.Set(fiber.HeaderRetryAfter, "1")
	}
	return nil
}

// cancel cancels a request. A running one is told to stop: the answer is 202.
func (s *Tickets) cancel(ctx context.Context, c *fiber.Ctx, in *exchange.Request, t ticket) *exchange.Failure {
	record, err := s.client.Record(ctx, t.service, t.id)
	if f := s.checkAccess(in, t, record, err); f != nil {
		return f
	}
	record, err = s.client.Cancel(ctx, t.service, t.id)
	if f := s.checkAccess(in, t, record, err); f != nil {
		return f
	}
	switch record.State {
	case wire.StateCancelled:
		return writeState(c, in, fiber.StatusOK, record.Tell(t.service, t.id))
	case wire.StateCancelling:
		return writeState(c, in, fiber.StatusAccepted, record.Tell(t.service, t.id))
	case wire.StateRunning, wire.StateQueued:
		return exchange.Fail(wire.CodeConflict, "the request runs already, and cannot be stopped").With(map[string]string{"state": record.State})
	default:
		return exchange.Fail(wire.CodeConflict, "the request has ended already").With(map[string]string{"state": record.State})
	}
}

// State returns the state of a request.
func (s *Tickets) State(ctx context.Context, service, id string) (state string, found bool) {
	record, err := s.client.Record(ctx, service, id)
	if err != nil && !errors.Is(err, caller.ErrNoRecord) && !errors.Is(err, context.Canceled) {
		s.log.Warn("a request could not be looked up", "service", service, "correlation_id", id, "error", err)
	}
	return record.State, err == nil
}

// Write answers 202 with the ticket of a request: location is the path of its outcome.
func (s *Tickets) Write(c *fiber.Ctx, in *exchange.Request, location string, prefer Preference, state string) *exchange.Failure {
	f := writeState(c, in, fiber.StatusAccepted, wire.RequestState{
		ID: in.ID.String(), Service: in.Service, Action: in.Action, State: state,
	})
	c.Set(fiber.HeaderLocation, location)
	c.Set(fiber.HeaderRetryAfter, "1")
	c.Set("Preference-Applied", prefer.applied)
	return f
}

// Prepare applies the headers Idempotency-Key and Prefer of an unsafe request to its call.
func (s *Tickets) Prepare(c *fiber.Ctx, in *exchange.Request, request *calls.Call) (Preference, *exchange.Failure) {
	if c.Request().Header.Peek(exchange.HeaderIdempotencyKey) != nil {
		if f := s.Key(in, request, c.Get(exchange.HeaderIdempotencyKey)); f != nil {
			return Preference{}, f
		}
	}
	prefer := parsePrefer(c.Get("Prefer"))
	if prefer.Given() {
		request.Endless, request.Wait, request.Timeout = true, true, prefer.Wait
	}
	return prefer, nil
}

// Key applies an Idempotency-Key to an unsafe request and its call.
func (s *Tickets) Key(in *exchange.Request, request *calls.Call, header string) *exchange.Failure {
	key, f := idempotencyKey(header)
	if f != nil {
		return f
	}
	secret := s.client.Secret()
	if secret == nil {
		return exchange.Unavailable("Redis is not reachable")
	}
	in.ID, in.Keyed = keyedID(secret, in.Principal.Key(), in.Service, in.Action, key), true
	request.Shared, request.Store = true, keyedStore
	return nil
}
