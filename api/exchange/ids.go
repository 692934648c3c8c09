package exchange

import (
	"github.com/google/uuid"
	"github.com/valyala/fasthttp"

	"github.com/oskadev/mailroom/bus/wire"
)

// Names of headers in canonical form.
const (
	HeaderRequestID      = "X-Request-Id"
	HeaderIdempotencyKey = "Idempotency-Key"
	HeaderCacheStatus    = "Cache-Status"     // RFC 9211
	HeaderLimit          = "RateLimit"        // https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/
	HeaderLimitPolicy    = "RateLimit-Policy" // likewise
)

// requestIDOf names a call that does not get far: as its caller does, or by a
// UUIDv7 of its own.
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

// saneRequestID reports whether a caller's X-Request-Id can be passed on: 1 to
// 128 letters, digits and -_.:/+=@, so that it means nothing in a log, a header
// or JSON.
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

// saneTraceParent reports whether a header is a traceparent of the W3C trace
// context: version, trace, parent and flags in lower-case hexadecimal
// (https://www.w3.org/TR/trace-context/#traceparent-header).
func saneTraceParent(s string) bool {
	if len(s) < 55 || len(s) > 128 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case i == 2 || i == 35 || i == 52:
			if c != '-' {
				return false
			}
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f':
		case i > 55 && c == '-':
		default:
			return false
		}
	}
	return s[:2] != "ff" && (len(s) == 55 || s[55] == '-')
}

// encodeMeta encodes what travels with the request, but for the principal. Of a
// composition, plan is the hash of its plan and began when it was first called, in
// unix milliseconds of Redis.
func (in *Request) EncodeMeta(plan string, began int64) string {
	m := wire.Meta{TraceParent: in.Trace, Version: in.Version, Plan: plan, Began: began}
	if in.OwnID || in.Keyed {
		m.RequestID = in.RequestID
	}
	return m.Encode()
}
