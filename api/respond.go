package api

import (
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/oskadev/mailroom/api/auth"
	"github.com/oskadev/mailroom/api/edge"
	"github.com/oskadev/mailroom/api/exchange"
	"github.com/oskadev/mailroom/api/route"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/lograte"
)

// responder writes the answers of actions.
type responder struct {
	auth       auth.Mode
	hideWorker bool
	gate       *edge.Gate
	log        *slog.Logger
	odd        lograte.Limiter // lines about replies that break the protocol
}

// respond writes the reply of a service. The envelope stays as it is.
func (w *responder) respond(c *fiber.Ctx, in *exchange.Request, r *route.Route, reply wire.Reply) {
	meta, err := wire.ParseReplyMeta(reply.Meta)
	if err != nil {
		w.odd.Warn(w.log.With(in.LogIDs()), "the meta of a reply cannot be read", "service", r.Service, "error", err)
	}
	w.respondWith(c, in, r, reply, meta)
}

// respondWith writes a reply with its parsed meta.
func (w *responder) respondWith(c *fiber.Ctx, in *exchange.Request, r *route.Route, reply wire.Reply, meta wire.ReplyMeta) {
	res := c.Response()
	status := wire.StatusOf(reply.Envelope, meta.Status)
	if status == 0 {
		exchange.Refuse(c, in, w.noEnvelope(in, r))
		return
	}
	exchange.WriteEnvelope(res, status, reply.Envelope, in.RequestID)
	if at := r.OutcomeAt(in); status == http.StatusGatewayTimeout && at != "" {
		// The worker timed out before the gateway.
		res.Header.Set(fiber.HeaderLocation, at)
	}
	if status == http.StatusServiceUnavailable { // the service could not reach another one
		res.Header.Set(fiber.HeaderRetryAfter, exchange.Seconds(time.Second))
	}
	if reply.Replayed && in.Keyed {
		res.Header.Set("Idempotency-Replayed", "true")
	}
	w.writeMeta(res, in, meta, true)
}

// noEnvelope returns the failure for a reply that is not an envelope.
func (w *responder) noEnvelope(in *exchange.Request, r *route.Route) *exchange.Failure {
	w.odd.Error(w.log.With(in.LogIDs()), "a service answered with no envelope", "service", r.Service, "action", r.Action.Name)
	return exchange.Fail(wire.CodeInternal, "the service's answer cannot be read")
}

// writeMeta writes the headers from the meta of a reply. Timing, worker and attempt are
// for the caller whose request ran: own.
func (w *responder) writeMeta(res *fasthttp.Response, in *exchange.Request, meta wire.ReplyMeta, own bool) {
	if meta.Location != "" {
		res.Header.Set(fiber.HeaderLocation, exchange.EncodeURI(meta.Location))
	}
	if !own {
		return
	}
	in.Outcome.SetRun(&meta)
	var space [96]byte
	timing := appendServerTiming(space[:0], meta, time.Since(in.Began))
	if meta.Timing != "" && exchange.PlainText(meta.Timing) {
		timing = append(append(timing, ", "...), meta.Timing...)
	}
	res.Header.SetBytesV("Server-Timing", timing)
	if !w.hideWorker {
		if meta.Worker != "" && exchange.PlainText(meta.Worker) {
			res.Header.Set("Mailroom-Worker", meta.Worker)
		}
		if meta.Attempt > 1 {
			res.Header.Set("Mailroom-Attempt", strconv.Itoa(meta.Attempt))
		}
	}
}

// fits checks the envelope against the size limit of its route.
func (w *responder) fits(in *exchange.Request, r *route.Route, envelope string) error {
	limit := w.gate.ResponseLimit(r.Pattern)
	if limit == 0 || len(envelope) <= limit {
		return nil
	}
	w.odd.Error(w.log.With(in.LogIDs()), "an answer is larger than its route may give", "service", r.Service, "action", r.Action.Name, "bytes", len(envelope), "limit", limit)
	return errTooLong
}

// appendServerTiming appends the header Server-Timing
// (https://www.w3.org/TR/server-timing/): the time in the mailbox, of the run, and the rest.
func appendServerTiming(dst []byte, meta wire.ReplyMeta, total time.Duration) []byte {
	dst = wire.AppendMillis(append(dst, "queue;dur="...), meta.Queue)
	dst = wire.AppendMillis(append(dst, ", run;dur="...), meta.Run)
	return wire.AppendMillis(append(dst, ", reply;dur="...), total-meta.Queue-meta.Run)
}
