package exchange

import (
	"net/http"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/oskadev/mailroom/bus/wire"
)

// PlainText reports whether a value consists of printable ASCII, as a header needs.
func PlainText(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// WriteEnvelope writes an envelope with its status and request ID.
func WriteEnvelope(res *fasthttp.Response, status int, envelope, requestID string) {
	res.SetStatusCode(status)
	res.Header.SetContentType("application/json")
	SetHeader(res, HeaderRequestID, requestID)
	res.SetBodyString(envelope)
}

// SetHeader sets a header whose name is in canonical form already: the Set of fasthttp
// normalizes the name each time.
func SetHeader(res *fasthttp.Response, name, value string) {
	res.Header.SetCanonical([]byte(name), []byte(value))
}

// WriteAllow answers OPTIONS.
func WriteAllow(res *fasthttp.Response, methods, requestID string) {
	res.SetStatusCode(http.StatusNoContent)
	res.Header.Set(fiber.HeaderAllow, methods)
	res.Header.Set(HeaderRequestID, requestID)
}

// WriteFailure writes a failure. e holds the IDs, service and action of the request.
func WriteFailure(res *fasthttp.Response, f *Failure, e wire.Error) {
	e.Code, e.Message, e.Status, e.Details = f.Code, f.Message, f.Status, f.Details
	WriteEnvelope(res, e.Status, string(wire.Failure(&e)), e.RequestID)
	if f.RetryAfter > 0 {
		res.Header.Set(fiber.HeaderRetryAfter, Seconds(f.RetryAfter))
	}
	if f.Allow != "" {
		res.Header.Set(fiber.HeaderAllow, f.Allow)
	}
	if f.Location != "" {
		res.Header.Set(fiber.HeaderLocation, f.Location)
	}
	if f.Challenge != "" {
		res.Header.Set(fiber.HeaderWWWAuthenticate, f.Challenge)
	}
	if f.Close {
		res.SetConnectionClose()
	}
}

// Refuse writes a failure as the answer to a request.
func Refuse(c *fiber.Ctx, in *Request, f *Failure) {
	in.Outcome.Refused = f.Code
	WriteFailure(c.Response(), f, in.stamp())
}

// stamp returns an error with the IDs, service and action of the request.
func (in *Request) stamp() wire.Error {
	e := wire.Error{RequestID: in.RequestID, Service: in.Service, Action: in.Action}
	if id := in.ID.String(); in.Service != "" && id != in.RequestID {
		e.CorrelationID = id
	}
	return e
}

// ReadMethods are the methods of a path of the gateway that is only read.
const ReadMethods = "GET, HEAD, OPTIONS"

// RefuseMethod answers a method that a path of the gateway does not serve: OPTIONS with
// Allow, others with METHOD_NOT_ALLOWED.
func RefuseMethod(c *fiber.Ctx, in *Request, methods string) {
	if in.Method == fiber.MethodOptions {
		WriteAllow(c.Response(), methods, in.RequestID)
		return
	}
	f := Fail(wire.CodeMethodNotAllowed, in.Method+" is not served here")
	f.Allow = methods
	Refuse(c, in, f)
}
