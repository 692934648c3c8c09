package exchange

import (
	"log/slog"

	"github.com/google/uuid"
	"github.com/valyala/fasthttp"

	"github.com/oskadev/mailroom/bus/wire"
)

// Header names in canonical form.
const (
	HeaderRequestID      = "X-Request-Id"
	HeaderIdempotencyKey = "Idempotency-Key"
	HeaderCacheStatus    = "Cache-Status"     // RFC 9211
	HeaderLimit          = "RateLimit"        // https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/
	HeaderLimitPolicy    = "RateLimit-Policy" // likewise
)

// RequestIDOf returns the request ID for an answer without a Request: the client's
// X-Request-Id, or a new UUIDv7.
func RequestIDOf(h *fasthttp.RequestHeader) string {
	if own := string(h.Peek(HeaderRequestID)); saneRequestID(own) {
		return own
	}
	id, err := uuid.NewV7()
	if err != nil {
		return uuid.Nil.String()
	}
	return id.String()
}

// saneRequestID reports whether a client's X-Request-Id can be passed on: 1 to 128
// letters, digits and -_.:/+=@, none of which needs escaping in a log, a header or JSON.
func saneRequestID(s string) bool {
	if s == "" || len(s) > 128 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case c == '-', c == '_', c == '.', c == ':', c == '/', c == '+', c == '=', c == '@':
		default:
			return false
		}
	}
	return true
}

// LogIDs returns the IDs of a log line about the request, as one attribute.
func (in *Request) LogIDs() slog.Attr { return wire.LogIDs(in.RequestID, in.ID.String(), in.Trace) }

// traceHead and traceTail enclose the traceparent in a meta that has nothing else.
const traceHead, traceTail = `{"traceparent":"`, `"}`

// Continue sets the trace context to that of a span, which add appends. It allocates one
// text for Trace and EncodeMeta.
func (in *Request) Continue(add func(dst []byte) []byte) {
	var space [96]byte
	text := add(append(space[:0], traceHead...))
	in.traceMeta = string(append(text, traceTail...))
	in.Trace = in.traceMeta[len(traceHead) : len(in.traceMeta)-len(traceTail)]
}

// EncodeMeta encodes the meta of the bus request, without the principal. For a
// composition, plan is the hash of its plan and began the time of its first call, in
// unix milliseconds of the Redis clock.
func (in *Request) EncodeMeta(plan string, began int64) string {
	if !in.OwnID && !in.Keyed && in.Trace == "" && in.Version == "" && plan == "" { // most requests
		return ""
	}
	if in.traceMeta != "" && !in.OwnID && !in.Keyed && in.Version == "" && plan == "" { // most requests of a gateway that traces
		return in.traceMeta
	}
	m := wire.Meta{TraceParent: in.Trace, Version: in.Version, Plan: plan, Began: began}
	if in.OwnID || in.Keyed {
		m.RequestID = in.RequestID
	}
	return m.Encode()
}
