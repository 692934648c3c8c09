package api

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/registry"
	"github.com/oskadev/mailroom/bus/wire"
	calls "github.com/oskadev/mailroom/internal/call"
)

// call is one REST call, copied out of Fiber, which lends everything only
// until its handler returns.
type call struct {
	method    string
	path      string
	query     string
	body      string
	id        uuid.UUID // the correlation ID
	requestID string    // what the caller knows the call by
	ownID     bool      // the caller gave that name, it is not the correlation ID
	keyed     bool      // the correlation ID is that of all calls with the same Idempotency-Key
	trace     string
	sent      sent            // of the headers that mean something, which there are
	version   string          // of the API, as in v2; empty: none was named
	plan      string          // the hash of what it is composed of
	planBegan int64           // when that was asked for
	principal *wire.Principal // who calls; nil: nobody has to say
	limit     tightest
	began     time.Time
}

// handle conducts one call.
func (s *Server) handle(c *fiber.Ctx) error {
	in := copyCall(c)
	if s.probed(c, &in) {
		return nil
	}
	// Before anything else is told, also that there is no such route.
	f := s.limited(c, &in, beforeCredential, nil)
	if f == nil {
		f = s.authenticate(c, &in)
	}
	if f == nil {
		f = s.limited(c, &in, ofCaller, nil)
	}
	if f != nil {
		s.refuse(c, &in, nil, f)
		return nil
	}
	if s.own(c, &in) {
		return nil
	}
	segments, ok := split(in.path)
	if !ok {
		s.refuse(c, &in, nil, badRequest(problem{Field: "path", Problem: "not valid percent-encoded UTF-8"}))
		return nil
	}
	t := s.table.Load()
	r, params, allowed, known := t.find(&in, segments)
	if !known {
		s.refuse(c, &in, nil, fail(wire.CodeNotFound, "there is no version "+segments[0]))
		return nil
	}
	if in.version != "" {
		segments = segments[1:]
		t.retire(c.Response(), &in, r)
	}
	if r == nil {
		s.unrouted(c, &in, t, segments, allowed)
		return nil
	}
	if f := s.call(c, &in, r, params); f != nil {
		s.refuse(c, &in, r, f)
	}
	return nil
}

// call is the rest of a call that has a route. Who may not make it learns nothing
// of its arguments, nor whether there is a copy of the answer.
func (s *Server) call(c *fiber.Ctx, in *call, r *route, params []string) *failure {
	if f := s.limited(c, in, ofRoute, r); f != nil {
		return f
	}
	if f := s.authorize(in, r); f != nil {
		return f
	}
	args, f := s.arguments(c, in, r, params)
	if f != nil {
		return f
	}
	return s.serve(c, in, r, args)
}

func copyCall(c *fiber.Ctx) call {
	in := call{
		method: methodOf(c.Method()),
		path:   string(c.Context().URI().PathOriginal()),
		query:  string(c.Context().URI().QueryString()),
		body:   string(c.Request().Body()),
		began:  time.Now(),
	}
	var err error
	if in.id, err = uuid.NewV7(); err != nil {
		in.id = uuid.New()
	}
	in.sent = sentIn(c.Request().Header.RawHeaders())
	if in.sent&sentRequestID != 0 {
		if own := c.Get(headerRequestID); saneRequestID(own) {
			in.requestID, in.ownID = strings.Clone(own), true
		}
	}
	if in.requestID == "" {
		in.requestID = in.id.String()
	}
	if in.sent&sentTrace != 0 {
		if trace := c.Get("traceparent"); saneTraceParent(trace) {
			in.trace = strings.Clone(trace)
		}
	}
	return in
}

// methodOf is a method in memory of our own. The usual ones need no copy.
func methodOf(lent string) string {
	switch lent {
	case http.MethodGet:
		return http.MethodGet
	case http.MethodPost:
		return http.MethodPost
	default:
		return strings.Clone(lent)
	}
}

// lookupMethod is the method whose route serves a call: HEAD is a GET without
// the body.
func lookupMethod(method string) string {
	if method == http.MethodHead {
		return http.MethodGet
	}
	return method
}

// split cuts a path into its decoded segments; a trailing slash is accepted.
func split(path string) ([]string, bool) {
	segments := strings.Split(strings.TrimSuffix(strings.TrimPrefix(path, "/"), "/"), "/")
	for i, segment := range segments {
		if !strings.Contains(segment, "%") {
			if !utf8.ValidString(segment) {
				return nil, false
			}
			continue
		}
		decoded, err := url.PathUnescape(segment)
		if err != nil || !utf8.ValidString(decoded) || strings.ContainsRune(decoded, 0) {
			return nil, false
		}
		segments[i] = decoded
	}
	return segments, true
}

// tooEarly reports whether a table that has no services says nothing about them
// yet: the gateway had not looked when the call was matched.
func (s *Server) tooEarly(t *table) bool {
	return len(t.services) == 0 && (t != s.table.Load() || !s.ready())
}

// unrouted answers a call that no action serves.
func (s *Server) unrouted(c *fiber.Ctx, in *call, t *table, segments, allowed []string) {
	var service *registry.Service
	if len(segments) > 0 {
		service = t.services[segments[0]]
	}
	switch {
	case len(allowed) > 0 && in.method == http.MethodOptions:
		writeAllow(c.Response(), allowHeader(allowed), in.requestID)
	case len(allowed) > 0:
		f := fail(wire.CodeMethodNotAllowed, in.method+" is not served here")
		f.allow = allowHeader(allowed)
		s.refuse(c, in, nil, f)
	case service != nil && service.Manifest == nil:
		s.refuse(c, in, nil, unavailable("no worker of "+segments[0]+" is running"))
	case s.tooEarly(t):
		s.refuse(c, in, nil, unavailable("Redis is not reachable"))
	default:
		s.refuse(c, in, nil, fail(wire.CodeNotFound, "no such route"))
	}
}

func allowHeader(methods []string) string {
	list := strings.Join(methods, ", ")
	list = strings.Replace(list, http.MethodGet, "GET, HEAD", 1)
	return list + ", OPTIONS"
}

// serve calls the action and writes its answer.
func (s *Server) serve(c *fiber.Ctx, in *call, r *route, args string) *failure {
	request := calls.Call{
		Call:     caller.Call{Service: r.service, Action: r.action.Name, Args: args, Principal: in.principal},
		Declared: r.action,
	}
	var prefer preference
	switch {
	case r.plan != nil && r.action.Safe:
		return s.composeHere(c, in, r, args)
	case r.plan != nil:
		if err := s.composer.keep(s.calls, r.plan); err != nil {
			s.log.Debug("a plan could not be kept", "composition", r.action.Name, "error", err)
			return unavailable("Redis is not reachable")
		}
		request.Wait, request.Place = true, r.plan.Name() // gateways run it
		in.plan, in.planBegan = r.plan.Hash(), s.conn.Clock.Millis()
	}
	wants := wants{}
	if r.caching != nil {
		wants = in.wants(c)
		request.Cached = wants.cached()
	}
	if !r.action.Safe {
		var f *failure
		if prefer, f = s.unsafe(c, in, r, &request); f != nil {
			return f
		}
	}
	request.ID, request.Meta = in.id, in.meta()
	if prefer.given() && prefer.wait == 0 {
		return s.accept(c, in, r, &request, prefer)
	}
	answer, err := s.caller.Do(context.Background(), &request) // its timeout ends it, or the client's end
	switch {
	case err != nil && prefer.given() && isLate(err):
		return s.ticketInstead(c, in, r, prefer)
	case err != nil:
		f := s.explain(in, r, err)
		if r.caching != nil && !request.Cached.Skip {
			setHeader(c.Response(), headerCacheStatus, "mailroom; detail="+f.cacheDetail)
		}
		return f
	case answer.Shared != nil:
		s.writeShared(c, in, r, &answer, wants)
		return nil
	}
	if r.caching != nil {
		setHeader(c.Response(), headerCacheStatus, "mailroom; fwd=bypass; detail=no-store")
	}
	if err := s.fits(in, r, answer.Envelope); err != nil {
		return s.explain(in, r, err)
	}
	s.respond(c, in, r, answer.Reply)
	return nil
}

// isLate reports that the outcome of a request may still come.
func isLate(err error) bool {
	return errors.Is(err, caller.ErrTimeout) && !errors.Is(err, caller.ErrNotReplicated) || errors.Is(err, caller.ErrExpired)
}

// unsafe reads the headers of unsafe calls: Idempotency-Key and Prefer.
func (s *Server) unsafe(c *fiber.Ctx, in *call, r *route, request *calls.Call) (preference, *failure) {
	if c.Request().Header.Peek(headerIdempotencyKey) != nil {
		key, f := idempotencyKey(c.Get(headerIdempotencyKey))
		if f != nil {
			return preference{}, f
		}
		secret := s.client.Secret()
		if secret == nil {
			return preference{}, unavailable("Redis is not reachable")
		}
		in.id, in.keyed = keyedID(secret, in.principal.Key(), r.service, r.action.Name, key), true
		request.Shared, request.Store = true, keyedStore
	}
	prefer := preferenceIn(c.Get("Prefer"))
	if prefer.given() {
		request.Endless, request.Wait, request.Timeout = true, true, prefer.wait
	}
	return prefer, nil
}

// outcomeAt is where the outcome of a call can be learned later; empty: of a
// safe one nothing is kept.
func (in *call) outcomeAt(r *route) string {
	if r.action.Safe && r.action.Lane == "" {
		return ""
	}
	return wire.Location(r.service, in.id.String())
}
