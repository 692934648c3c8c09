package exchange

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
type Request struct {
	identity
	Method    string
	Path      string
	Query     string
	Body      string
	Trace     string // traceparent
	Sent      sent
	Service   string          // that is called, once the route is known
	Action    string          // likewise
	Version   string          // of the API, such as v2; empty: none
	Principal *wire.Principal // nil: anonymous
	Began     time.Time
}

// identity names a request.
type identity struct {
	ID        uuid.UUID // the correlation ID
	RequestID string    // X-Request-Id, or the correlation ID
	OwnID     bool      // the caller sent requestID
	Keyed     bool      // the correlation ID is that of an Idempotency-Key
}

func NewRequest(c *fiber.Ctx) Request {
	in := Request{
		Method: methodOf(c.Method()),
		Path:   string(c.Context().URI().PathOriginal()),
		Query:  string(c.Context().URI().QueryString()),
		Body:   string(c.Request().Body()),
		Began:  time.Now(),
	}
	var err error
	if in.ID, err = uuid.NewV7(); err != nil {
		in.ID = uuid.New()
	}
	in.Sent = sentIn(c.Request().Header.RawHeaders())
	if in.Sent&sentRequestID != 0 {
		if own := c.Get(HeaderRequestID); saneRequestID(own) {
			in.RequestID, in.OwnID = strings.Clone(own), true
		}
	}
	if in.RequestID == "" {
		in.RequestID = in.ID.String()
	}
	if in.Sent&sentTrace != 0 {
		if trace := c.Get("traceparent"); saneTraceParent(trace) {
			in.Trace = strings.Clone(trace)
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
func LookupMethod(method string) string {
	if method == http.MethodHead {
		return http.MethodGet
	}
	return method
}

// split cuts a path into its decoded segments; a trailing slash is accepted.
func SplitPath(path string) ([]string, bool) {
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
