package api

import (
	"context"
	"net/http"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/oskadev/mailroom/bus/registry"
	"github.com/oskadev/mailroom/bus/wire"
)

// handle conducts one call. ctx ends with the last call, waits as soon as the
// gateway has been told to stop.
func (s *Server) handle(ctx, waits context.Context, c *fiber.Ctx) error {
	in := copyCall(c)
	if s.probed(c, &in) {
		return nil
	}
	// The caller is known before it learns anything, even that a route does not exist.
	var quota tightest
	if f := s.admit(ctx, c, &in, &quota); f != nil {
		refuse(c, &in, f)
		return nil
	}
	if name, found := strings.CutPrefix(strings.TrimSuffix(in.path, "/"), "/requests/"); found {
		s.tickets.serve(ctx, waits, c, &in, name)
		return nil
	}
	segments, ok := split(in.path)
	if !ok {
		refuse(c, &in, badRequest(problem{Field: "path", Problem: "not valid percent-encoded UTF-8"}))
		return nil
	}
	t := s.router.table.Load()
	r, params, allowed, known := t.find(&in, segments)
	if !known {
		refuse(c, &in, fail(wire.CodeNotFound, "there is no version "+segments[0]))
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
	in.service, in.action = r.service, r.action.Name
	if f := s.call(ctx, c, &in, r, params, &quota); f != nil {
		refuse(c, &in, f)
	}
	return nil
}

// admit authenticates the caller and counts the call.
func (s *Server) admit(ctx context.Context, c *fiber.Ctx, in *call, quota *tightest) (f *failure) {
	if f = s.quotas.count(ctx, c, in, StageAddress, "", quota); f != nil {
		return f
	}
	if in.principal, f = s.auth.authenticate(ctx, &c.Request().Header); f != nil {
		return f
	}
	return s.quotas.count(ctx, c, in, StageCaller, "", quota)
}

// call conducts a call whose route is known. A caller without the right scopes learns
// nothing of its arguments, or of cached answers.
func (s *Server) call(ctx context.Context, c *fiber.Ctx, in *call, r *route, params []string, quota *tightest) *failure {
	if f := s.quotas.count(ctx, c, in, StageRoute, r.pattern, quota); f != nil {
		return f
	}
	if f := s.auth.authorize(in.principal, r.action.Scopes, r.unknown); f != nil {
		return f
	}
	args, f := r.bind(c, in, params)
	if f != nil {
		return f
	}
	return s.serve(ctx, c, in, r, args)
}

// tooEarly reports that a table without services says nothing about them yet: the
// registry had not been read when the call was matched.
func (s *Server) tooEarly(t *table) bool {
	return len(t.services) == 0 && (t != s.router.table.Load() || !s.ready())
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
		refuse(c, in, f)
	case service != nil && service.Manifest == nil:
		refuse(c, in, unavailable("no worker of "+segments[0]+" is running"))
	case s.tooEarly(t):
		refuse(c, in, unavailable("Redis is not reachable"))
	default:
		refuse(c, in, fail(wire.CodeNotFound, "no such route"))
	}
}

func allowHeader(methods []string) string {
	list := strings.Join(methods, ", ")
	list = strings.Replace(list, http.MethodGet, "GET, HEAD", 1)
	return list + ", OPTIONS"
}
