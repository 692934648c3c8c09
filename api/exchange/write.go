package exchange

import (
	"net/http"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/oskadev/mailroom/bus/wire"
)

// plainText reports whether a value can stand in a header.
func PlainText(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

func WriteEnvelope(res *fasthttp.Response, status int, envelope, requestID string) {
	res.SetStatusCode(status)
	res.Header.SetContentType("application/json")
	SetHeader(res, HeaderRequestID, requestID)
	res.SetBodyString(envelope)
}

// setHeader sets a header whose name is in canonical form already, as fasthttp
// writes it: its own Set makes sure of that each time.
func SetHeader(res *fasthttp.Response, name, value string) {
	res.Header.SetCanonical([]byte(name), []byte(value))
}

// writeAllow answers OPTIONS.
func WriteAllow(res *fasthttp.Response, methods, requestID string) {
	res.SetStatusCode(http.StatusNoContent)
	res.Header.Set(fiber.HeaderAllow, methods)
	res.Header.Set(HeaderRequestID, requestID)
}

// writeFailure completes an error that says which call failed, and writes it.
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

// refuse writes a failure as the answer to a request.
func Refuse(c *fiber.Ctx, in *Request, f *Failure) {
	e := wire.Error{RequestID: in.RequestID, Service: in.Service, Action: in.Action}
	if id := in.ID.String(); in.Service != "" && id != in.RequestID {
		e.CorrelationID = id
	}
	WriteFailure(c.Response(), f, e)
}

// ownMethods are those of the gateway's own paths.
const ReadMethods = "GET, HEAD, OPTIONS"

// only answers a method that is none of those that a path of the gateway's has.
func RefuseMethod(c *fiber.Ctx, in *Request, methods string) {
	if in.Method == fiber.MethodOptions {
		WriteAllow(c.Response(), methods, in.RequestID)
		return
	}
	f := Fail(wire.CodeMethodNotAllowed, in.Method+" is not served here")
	f.Allow = methods
	Refuse(c, in, f)
}
