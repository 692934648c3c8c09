package api

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/oskadev/mailroom/api/auth"
	"github.com/oskadev/mailroom/api/exchange"
	"github.com/oskadev/mailroom/api/route"
	"github.com/oskadev/mailroom/bus/wire"
	calls "github.com/oskadev/mailroom/internal/call"
)

// writeShared writes an answer that passed through the cache.
func (w *responder) writeShared(c *fiber.Ctx, in *exchange.Request, r *route.Route, answer *calls.Answer, prefs cachePreferences) {
	shared := answer.Shared
	if err := w.fits(in, r, answer.Envelope); err != nil {
		exchange.Refuse(c, in, w.explain(in, r, err))
		return
	}
	in.Outcome.Cache = shared.Source.String()
	res := c.Response()
	res.Header.SetCanonical([]byte(exchange.HeaderCacheStatus), cacheStatus(&shared.Answer, prefs))
	if !shared.OK() {
		exchange.WriteEnvelope(res, shared.Status, stamped(answer.Envelope, in, r), in.RequestID)
	} else if w.writeFresh(c, in, r, answer) {
		return
	}
	w.writeSharedMeta(res, in, answer)
}

// writeFresh writes a success with its validators. It reports whether the client has the
// answer already (304).
func (w *responder) writeFresh(c *fiber.Ctx, in *exchange.Request, r *route.Route, answer *calls.Answer) (unchanged bool) {
	res, etag := c.Response(), answer.Shared.ETag
	exchange.SetHeader(res, "Etag", etag)
	if w.auth != auth.None { // a cache of the browser must not mix callers
		res.Header.Add(fiber.HeaderVary, fiber.HeaderAuthorization+", X-API-Key")
	}
	if control := w.controlOf(r); control != "" {
		exchange.SetHeader(res, fiber.HeaderCacheControl, control)
		res.Header.SetCanonical([]byte("Age"), strconv.AppendInt(make([]byte, 0, 8), int64(answer.Shared.Age/time.Second), 10))
	}
	if in.SentIfNoneMatch() && exchange.NamesETag(allOf(c, fiber.HeaderIfNoneMatch), etag) {
		res.SetStatusCode(http.StatusNotModified)
		res.Header.Set(exchange.HeaderRequestID, in.RequestID)
		return true
	}
	exchange.WriteEnvelope(res, answer.Shared.Status, answer.Envelope, in.RequestID)
	return false
}

// writeSharedMeta writes the meta of the reply; of a stored answer only the Location.
func (w *responder) writeSharedMeta(res *fasthttp.Response, in *exchange.Request, answer *calls.Answer) {
	stored := answer.Shared.Stored()
	if stored && !strings.Contains(answer.Meta, "location=") {
		return
	}
	meta, _ := wire.ParseReplyMeta(answer.Meta) // an unreadable meta is ignored
	if meta.RetryAfter > 0 {
		res.Header.Set(fiber.HeaderRetryAfter, exchange.Seconds(meta.RetryAfter))
	}
	if stored {
		meta = wire.ReplyMeta{Location: meta.Location}
	}
	w.writeMeta(res, in, meta, !stored)
}

// stamped returns a shared error envelope with the IDs of this request.
func stamped(envelope string, in *exchange.Request, r *route.Route) string {
	_, e := wire.ParseEnvelope(envelope)
	if e == nil {
		return envelope
	}
	if e.Service == "" {
		e.Service, e.Action = r.Service, r.Action.Name
	}
	ran := e.CorrelationID
	if ran == "" {
		ran = e.RequestID // the ID of the run, unless its caller sent one
	}
	if ran == "" {
		ran = in.ID.String()
	}
	e.RequestID, e.CorrelationID = in.RequestID, ""
	if ran != in.RequestID {
		e.CorrelationID = ran
	}
	return string(wire.Failure(e))
}
