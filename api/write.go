package api

import (
	"net/http"

	"github.com/gofiber/fiber/v2"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/valyala/fasthttp"
)

// plainText reports whether a value can stand in a header.
func plainText(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

func writeEnvelope(res *fasthttp.Response, status int, envelope, requestID string) {
	res.SetStatusCode(status)
	res.Header.SetContentType("application/json")
	setHeader(res, HeaderRequestID, requestID)
	res.SetBodyString(envelope)
}

// setHeader sets a header whose name is in canonical form already, as fasthttp
// writes it: its own Set makes sure of that each time.
func setHeader(res *fasthttp.Response, name, value string) {
	res.Header.SetCanonical([]byte(name), []byte(value))
}

// writeAllow answers OPTIONS.
func writeAllow(res *fasthttp.Response, methods, requestID string) {
	res.SetStatusCode(http.StatusNoContent)
	res.Header.Set(fiber.HeaderAllow, methods)
	res.Header.Set(HeaderRequestID, requestID)
}

// writeFailure completes an error that says which call failed, and writes it.
func writeFailure(res *fasthttp.Response, f *failure, e wire.Error) {
	e.Code, e.Message, e.Status, e.Details = f.Code, f.Message, f.Status, f.Details
	writeEnvelope(res, e.Status, string(wire.Failure(&e)), e.RequestID)
	if f.RetryAfter > 0 {
		res.Header.Set(fiber.HeaderRetryAfter, seconds(f.RetryAfter))
	}
	if f.allow != "" {
		res.Header.Set(fiber.HeaderAllow, f.allow)
	}
	if f.location != "" {
		res.Header.Set(fiber.HeaderLocation, f.location)
	}
	if f.challenge != "" {
		res.Header.Set(fiber.HeaderWWWAuthenticate, f.challenge)
	}
	if f.closeAfter {
		res.SetConnectionClose()
	}
}

// refuse writes a failure as the answer to a request.
func refuse(c *fiber.Ctx, in *call, f *failure) {
	e := wire.Error{RequestID: in.requestID, Service: in.service, Action: in.action}
	if id := in.id.String(); in.service != "" && id != in.requestID {
		e.CorrelationID = id
	}
	writeFailure(c.Response(), f, e)
}

// ownMethods are those of the gateway's own paths.
const ownMethods = "GET, HEAD, OPTIONS"

// only answers a method that is none of those that a path of the gateway's has.
func only(c *fiber.Ctx, in *call, methods string) {
	if in.method == fiber.MethodOptions {
		writeAllow(c.Response(), methods, in.requestID)
		return
	}
	f := fail(wire.CodeMethodNotAllowed, in.method+" is not served here")
	f.allow = methods
	refuse(c, in, f)
}
