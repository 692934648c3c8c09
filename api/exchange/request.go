package exchange

import (
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace"

	"github.com/oskadev/mailroom/bus/wire"
)

// Request is one HTTP request, copied out of Fiber: Fiber reuses its memory once the
// handler returns.
type Request struct {
	identity
	Method    string
	Path      string
	Query     string
	Body      string
	Trace     string          // traceparent: that of the client, or of this gateway
	Span      trace.Span      // nil: the request is not traced
	Route     string          // the pattern of the path, perhaps after a method; empty: no route
	Service   string          // empty until the route is known
	Action    string          // likewise
	Version   string          // of the API, such as v2; empty: none
	Principal *wire.Principal // nil: anonymous
	Began     time.Time
	Outcome   Outcome

	sent      sent
	traceMeta string // the meta with Trace alone; empty: the gateway has not set Trace
}

// identity holds the IDs of a request.
type identity struct {
	ID        uuid.UUID // the correlation ID
	RequestID string    // X-Request-Id, or the correlation ID
	OwnID     bool      // the client sent RequestID
	Keyed     bool      // ID is derived from an Idempotency-Key
}

// NewRequest copies a request out of Fiber.
func NewRequest(c *fiber.Ctx) Request {
	in := Request{
		Method: methodOf(c.Method()),
		Path:   string(c.Context().URI().PathOriginal()),
		Query:  string(c.Context().URI().QueryString()),
		Body:   string(c.Request().Body()),
		Began:  time.Now(),
	}
	in.ID = newID()
	in.sent = sentIn(c.Request().Header.RawHeaders())
	if in.sent&sentRequestID != 0 {
		if own := c.Get(HeaderRequestID); saneRequestID(own) {
			in.RequestID, in.OwnID = strings.Clone(own), true
		}
	}
	if in.RequestID == "" {
		in.RequestID = in.ID.String()
	}
	if in.sent&sentTrace != 0 {
		if trace := c.Get("traceparent"); wire.ValidTraceParent(trace) {
			in.Trace = strings.Clone(trace)
		}
	}
	return in
}

// NewMessage returns a request that came as a message on a socket.
func NewMessage(principal *wire.Principal, version string) Request {
	id := newID()
	return Request{identity: identity{ID: id, RequestID: id.String()}, Principal: principal, Version: version, Began: time.Now()}
}

func newID() uuid.UUID {
	id, err := uuid.NewV7()
	if err != nil {
		return uuid.New()
	}
	return id
}

// methodOf returns a copy of a method. The usual ones need no memory.
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

// LookupMethod returns the method whose route serves a request: GET for HEAD, which is a
// GET without the body.
func LookupMethod(method string) string {
	if method == http.MethodHead {
		return http.MethodGet
	}
	return method
}

// SplitPath returns the decoded segments of a path; a trailing slash is accepted. It
// returns false for a path that is not valid percent-encoded UTF-8.
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
