package api

import (
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/gofiber/fiber/v2"
	"github.com/oskadev/mailroom/bus/wire"
)

// call is one HTTP request, copied out of Fiber, which lends everything only until
// its handler returns.
type call struct {
	identity
	method    string
	path      string
	query     string
	body      string
	trace     string // traceparent
	sent      sent
	service   string          // that is called, once the route is known
	action    string          // likewise
	version   string          // of the API, such as v2; empty: none
	principal *wire.Principal // nil: anonymous
	began     time.Time
}

// identity names a request.
type identity struct {
	id        uuid.UUID // the correlation ID
	requestID string    // X-Request-Id, or the correlation ID
	ownID     bool      // the caller sent requestID
	keyed     bool      // the correlation ID is that of an Idempotency-Key
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
		if own := c.Get(HeaderRequestID); saneRequestID(own) {
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
