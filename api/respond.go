package api

import (
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
		refuse(c, in, s.noEnvelope(in, r))
		return
	}
	writeEnvelope(res, status, reply.Envelope, in.requestID)
	if at := r.outcomeAt(in); status == http.StatusGatewayTimeout && at != "" {
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
