package api

import (
	"net/http"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/oskadev/mailroom/api/exchange"
	"github.com/oskadev/mailroom/api/route"
	"github.com/oskadev/mailroom/bus/wire"
)

// respond writes a service's answer: the envelope as it came.
func (s *Server) respond(c *fiber.Ctx, in *exchange.Request, r *route.Route, reply wire.Reply) {
	meta, err := wire.ParseReplyMeta(reply.Meta)
	if err != nil {
		s.log.Warn("a reply's meta cannot be read", "request", in.ID, "error", err)
	}
	s.respondWith(c, in, r, reply, meta)
}

// respondWith is respond with what the reply's meta says.
func (s *Server) respondWith(c *fiber.Ctx, in *exchange.Request, r *route.Route, reply wire.Reply, meta wire.ReplyMeta) {
	res := c.Response()
	status := wire.StatusOf(reply.Envelope, meta.Status)
	if status == 0 {
		exchange.Refuse(c, in, s.noEnvelope(in, r))
		return
	}
	exchange.WriteEnvelope(res, status, reply.Envelope, in.RequestID)
	if at := r.OutcomeAt(in); status == http.StatusGatewayTimeout && at != "" {
		// The worker gave up a moment before the gateway did.
		res.Header.Set(fiber.HeaderLocation, at)
	}
	if status == http.StatusServiceUnavailable { // a service that another one could not reach
		res.Header.Set(fiber.HeaderRetryAfter, exchange.Seconds(time.Second))
	}
	if reply.Replayed && in.Keyed {
		res.Header.Set("Idempotency-Replayed", "true")
	}
	s.writeMeta(res, in, meta, true)
}

// noEnvelope is the answer where a service gave none that can be read.
func (s *Server) noEnvelope(in *exchange.Request, r *route.Route) *exchange.Failure {
	s.log.Error("a service answered with no envelope", "service", r.Service, "action", r.Action.Name, "request", in.ID)
	return exchange.Fail(wire.CodeInternal, "the service's answer cannot be read")
}

// writeMeta writes what a worker said about its reply; how it was made is only
// told to whom it was made for.
func (s *Server) writeMeta(res *fasthttp.Response, in *exchange.Request, meta wire.ReplyMeta, own bool) {
	if meta.Location != "" && exchange.PlainText(meta.Location) {
		res.Header.Set(fiber.HeaderLocation, meta.Location)
	}
	if !own {
		return
	}
	timing := serverTiming(meta, time.Since(in.Began))
	if meta.Timing != "" && exchange.PlainText(meta.Timing) {
		timing = append(append(timing, ", "...), meta.Timing...)
	}
	res.Header.SetBytesV("Server-Timing", timing)
	if !s.cfg.HideWorker {
		if meta.Worker != "" && exchange.PlainText(meta.Worker) {
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
