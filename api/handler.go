package api

import (
	"context"
	"net/http"
	"net/netip"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/oskadev/mailroom/api/docs"
	"github.com/oskadev/mailroom/api/exchange"
	"github.com/oskadev/mailroom/api/limits"
	"github.com/oskadev/mailroom/api/route"
	"github.com/oskadev/mailroom/bus/registry"
	"github.com/oskadev/mailroom/bus/wire"
)

// handle conducts one request. ctx ends when the last request has ended, waits when the
// gateway begins to stop.
func (s *Server) handle(ctx, waits context.Context, c *fiber.Ctx) error {
	in := exchange.NewRequest(c)
	if s.serveProbe(c, &in) {
		return nil
	}
	if s.isOps(in.Path) && s.mayOperate(c) {
		s.ops(c.Context())
		return nil
	}
	s.spans.begin(&in)
	s.conduct(ctx, waits, c, &in)
	s.ended(ctx, &in, c.Response().StatusCode())
	return nil
}

// conduct answers a request.
func (s *Server) conduct(ctx, waits context.Context, c *fiber.Ctx, in *exchange.Request) {
	if in.Path == socketPath {
		in.Route = socketPath
		s.openSocket(ctx, c, in)
		return
	}
	// Authentication comes first: without it a client does not learn which routes exist.
	var quota limits.Tightest
	if f := s.admit(ctx, c, in, &quota); f != nil {
		exchange.Refuse(c, in, f)
		return
	}
	if docs.Has(in.Path) {
		s.docs.Serve(c, in)
		return
	}
	if name, found := strings.CutPrefix(strings.TrimSuffix(in.Path, "/"), "/requests/"); found {
		in.Route = "/requests/:id"
		s.tickets.Serve(ctx, waits, c, in, name)
		return
	}
	segments, ok := exchange.SplitPath(in.Path)
	if !ok {
		exchange.Refuse(c, in, exchange.BadRequest(exchange.Problem{Field: "path", Problem: "not valid percent-encoded UTF-8"}))
		return
	}
	t := s.router.Table()
	r, params, allowed, known := t.Find(in, segments)
	if !known {
		exchange.Refuse(c, in, exchange.Fail(wire.CodeNotFound, "there is no version "+exchange.Cut(segments[0], 32)))
		return
	}
	if in.Version != "" {
		segments = segments[1:]
		t.Retire(c.Response(), in, r)
	}
	if r == nil {
		s.unrouted(c, in, t, segments, allowed)
		return
	}
	if r.Partial {
		s.refusePartial(c, in, t, r)
		return
	}
	in.Service, in.Action, in.Route = r.Service, r.Action.Name, r.Pattern
	if f := s.call(ctx, c, in, r, params, &quota); f != nil {
		exchange.Refuse(c, in, f)
	}
}

// admit authenticates the caller and counts the request.
func (s *Server) admit(ctx context.Context, c *fiber.Ctx, in *exchange.Request, quota *limits.Tightest) (f *exchange.Failure) {
	defer func() { quota.Write(c.Response()) }()
	address := func() netip.Addr { return s.quotas.Address(c) }
	if f = s.quotas.Count(ctx, address, in, limits.StageAddress, nil, quota); f != nil {
		return f
	}
	if s.cfg.PublicDocs && docs.Has(in.Path) {
		return nil
	}
	if in.Principal, f = s.auth.Authenticate(ctx, &c.Request().Header); f != nil {
		return f
	}
	return s.quotas.Count(ctx, address, in, limits.StageCaller, nil, quota)
}

// countPreflight counts a preflight by the rates of addresses. The CORS middleware answers it
// before the request is routed.
func (s *Server) countPreflight(ctx context.Context, c *fiber.Ctx) *exchange.Failure {
	in := exchange.NewRequest(c)
	var quota limits.Tightest
	defer func() { quota.Write(c.Response()) }()
	return s.quotas.Count(ctx, func() netip.Addr { return s.quotas.Address(c) }, &in, limits.StageAddress, nil, &quota)
}

// call conducts a request with a route. It checks the scopes before the arguments and the
// cache.
func (s *Server) call(ctx context.Context, c *fiber.Ctx, in *exchange.Request, r *route.Route, params []string, quota *limits.Tightest) *exchange.Failure {
	f := s.quotas.Count(ctx, func() netip.Addr { return s.quotas.Address(c) }, in, limits.StageRoute, r.Counted(), quota)
	if quota.Write(c.Response()); f != nil {
		return f
	}
	if f := s.auth.Authorize(in.Principal, r.Action.Scopes, r.Unknown); f != nil {
		return f
	}
	args, f := r.Bind(c, in, params)
	if f != nil {
		return f
	}
	return s.serve(ctx, c, in, r, args)
}

// refusePartial answers a request whose route only some builds of the service serve.
func (s *Server) refusePartial(c *fiber.Ctx, in *exchange.Request, t *route.Table, r *route.Route) {
	in.Service, in.Route = r.Service, r.Pattern
	message := "some live builds of " + r.Service + " do not serve " + r.Pattern
	if !t.Services[r.Service].Live() {
		message = "no worker of " + r.Service + " is running"
	}
	exchange.Refuse(c, in, exchange.Unavailable(message))
}

// tooEarly reports whether a table is empty because the registry had not been read when
// the request was matched.
func (s *Server) tooEarly(t *route.Table) bool {
	return len(t.Services) == 0 && (t != s.router.Table() || !s.ready())
}

// unrouted answers a request without a route.
func (s *Server) unrouted(c *fiber.Ctx, in *exchange.Request, t *route.Table, segments, allowed []string) {
	var service *registry.Service
	if len(segments) > 0 {
		service = t.Services[segments[0]]
	}
	switch {
	case len(allowed) > 0 && in.Method == http.MethodOptions:
		exchange.WriteAllow(c.Response(), allowHeader(allowed), in.RequestID)
	case len(allowed) > 0:
		f := exchange.Fail(wire.CodeMethodNotAllowed, in.Method+" is not served here")
		f.Allow = allowHeader(allowed)
		exchange.Refuse(c, in, f)
	case service != nil && service.Manifest == nil:
		exchange.Refuse(c, in, exchange.Unavailable("no worker of "+segments[0]+" is running"))
	case s.tooEarly(t):
		exchange.Refuse(c, in, exchange.Unavailable("Redis is not reachable"))
	default:
		exchange.Refuse(c, in, exchange.Fail(wire.CodeNotFound, "no such route"))
	}
}

// allowHeader returns the header Allow for the methods of a path.
func allowHeader(methods []string) string {
	list := strings.Join(methods, ", ")
	list = strings.Replace(list, http.MethodGet, "GET, HEAD", 1)
	return list + ", OPTIONS"
}
