package api

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/oskadev/mailroom/bus/wire"
)

// respond writes a service's answer: the envelope as it came.
func (s *Server) respond(c *fiber.Ctx, in *call, r *route, reply wire.Reply) {
	meta, err := wire.ParseReplyMeta(reply.Meta)
	if err != nil {
		s.log.Warn("a reply's meta cannot be read", "request", in.id, "error", err)
	}
	s.respondWith(c, in, r, reply, meta)
}

// respondWith is respond with what the reply's meta says.
func (s *Server) respondWith(c *fiber.Ctx, in *call, r *route, reply wire.Reply, meta wire.ReplyMeta) {
	res := c.Response()
	status := wire.StatusOf(reply.Envelope, meta.Status)
	if status == 0 {
		s.refuse(c, in, r, s.noEnvelope(in, r))
		return
	}
	writeEnvelope(res, status, reply.Envelope, in.requestID)
	if at := in.outcomeAt(r); status == http.StatusGatewayTimeout && at != "" {
		// The worker gave up a moment before the gateway did.
		res.Header.Set(fiber.HeaderLocation, at)
	}
	if status == http.StatusServiceUnavailable { // a service that another one could not reach
		res.Header.Set(fiber.HeaderRetryAfter, seconds(time.Second))
	}
	if reply.Replayed && in.keyed {
		res.Header.Set("Idempotency-Replayed", "true")
	}
	s.writeMeta(res, in, meta, true)
}

// noEnvelope is the answer where a service gave none that can be read.
func (s *Server) noEnvelope(in *call, r *route) *failure {
	s.log.Error("a service answered with no envelope", "service", r.service, "action", r.action.Name, "request", in.id)
	return fail(wire.CodeInternal, "the service's answer cannot be read")
}

// writeMeta writes what a worker said about its reply; how it was made is only
// told to whom it was made for.
func (s *Server) writeMeta(res *fasthttp.Response, in *call, meta wire.ReplyMeta, own bool) {
	if meta.Location != "" && plainText(meta.Location) {
		res.Header.Set(fiber.HeaderLocation, meta.Location)
	}
	if !own {
		return
	}
	timing := serverTiming(meta, time.Since(in.began))
	if meta.Timing != "" && plainText(meta.Timing) {
		timing = append(append(timing, ", "...), meta.Timing...)
	}
	res.Header.SetBytesV("Server-Timing", timing)
	if !s.cfg.HideWorker {
		if meta.Worker != "" && plainText(meta.Worker) {
			res.Header.Set("Mailroom-Worker", meta.Worker)
		}
		if meta.Attempt > 1 {
			res.Header.Set("Mailroom-Attempt", strconv.Itoa(meta.Attempt))
		}
	}
}

// serverTiming says where the time went (https://www.w3.org/TR/server-timing/):
// waiting for a worker, running, and all the rest on the way.
func serverTiming(meta wire.ReplyMeta, total time.Duration) []byte {
	dst := make([]byte, 0, 64)
	dst = wire.AppendMillis(append(dst, "queue;dur="...), meta.Queue)
	dst = wire.AppendMillis(append(dst, ", run;dur="...), meta.Run)
	return wire.AppendMillis(append(dst, ", reply;dur="...), total-meta.Queue-meta.Run)
}

// plainText reports whether a value can stand in a header.
func plainText(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

func writeEnvelope(res *fasthttp.Response, status int, envelope, requestID string) {
	res.SetStatusCode(status)
	res.Header.SetContentType("application/json")
	setHeader(res, headerRequestID, requestID)
	res.SetBodyString(envelope)
}

// setHeader sets a header whose name is in canonical form already, as fasthttp
// writes it: its own Set makes sure of that each time.
func setHeader(res *fasthttp.Response, name, value string) {
	res.Header.SetCanonical([]byte(name), []byte(value))
}

// writeAllow answers OPTIONS.
func writeAllow(res *fasthttp.Response, methods, requestID string) {
	res.SetStatusCode(http.StatusNoContent)
	res.Header.Set(fiber.HeaderAllow, methods)
	res.Header.Set(headerRequestID, requestID)
}

// refuse writes the gateway's own answer.
func (s *Server) refuse(c *fiber.Ctx, in *call, r *route, f *failure) {
	e := wire.Error{RequestID: in.requestID}
	if r != nil {
		e.Service, e.Action = r.service, r.action.Name
		if id := in.id.String(); id != in.requestID {
			e.CorrelationID = id
		}
	}
	writeFailure(c.Response(), f, e)
}

// writeFailure completes an error that says which call failed, and writes it.
func writeFailure(res *fasthttp.Response, f *failure, e wire.Error) {
	e.Code, e.Message, e.Status, e.Details = f.Code, f.Message, f.Status, f.Details
	writeEnvelope(res, e.Status, string(wire.Failure(&e)), e.RequestID)
	if f.RetryAfter > 0 {
		res.Header.Set(fiber.HeaderRetryAfter, seconds(f.RetryAfter))
	}
	if f.allow != "" {
		res.Header.Set(fiber.HeaderAllow, f.allow)
	}
	if f.location != "" {
		res.Header.Set(fiber.HeaderLocation, f.location)
	}
	if f.challenge != "" {
		res.Header.Set(fiber.HeaderWWWAuthenticate, f.challenge)
	}
	if f.closeAfter {
		res.SetConnectionClose()
	}
}

func tooLarge(limit int) *failure {
	f := fail(wire.CodePayloadTooLarge, "the body is over "+strconv.Itoa(limit)+" bytes")
	f.closeAfter = true
	return f
}

// onError answers what the HTTP library refuses before there is a call.
func (s *Server) onError(c *fiber.Ctx, err error) error {
	f := fail(wire.CodeInternal, "internal error")
	if refused, ok := errors.AsType[*fiber.Error](err); ok {
		switch refused.Code {
		case http.StatusRequestHeaderFieldsTooLarge:
			f = fail(wire.CodeHeadersTooLarge, "the headers are over "+strconv.Itoa(s.cfg.HeaderLimit)+" bytes")
		case http.StatusRequestEntityTooLarge:
			if f = s.bodiless(&c.Request().Header); f == nil {
				f = tooLarge(s.bodyLimit(&c.Request().Header))
			}
		case http.StatusRequestTimeout, http.StatusBadGateway:
			f = fail(wire.CodeRequestTimeout, "the request came too slowly")
		case http.StatusMethodNotAllowed:
			f = fail(wire.CodeMethodNotAllowed, "this method is not served")
		case http.StatusBadRequest:
			f = fail(wire.CodeBadRequest, "not a valid HTTP request")
		}
		f.closeAfter = true
		refuseRest(c.Context())
	} else {
		s.log.Error("a call failed at the edge", "error", err)
	}
	writeFailure(c.Response(), f, wire.Error{RequestID: requestIDOf(&c.Request().Header)})
	s.guard(&c.Request().Header, c.Response())
	return nil
}
