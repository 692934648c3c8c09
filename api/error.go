package api

import (
	"net/http"
	"strconv"
	"time"

	"github.com/oskadev/mailroom/bus/wire"
)

// The gateway's own codes. A service's errors keep their own.
const (
	codeBadRequest       = wire.CodeBadRequest
	codeUnauthenticated  = "UNAUTHENTICATED"
	codeForbidden        = "FORBIDDEN"
	codeNotFound         = "NOT_FOUND"
	codeMethodNotAllowed = "METHOD_NOT_ALLOWED"
	codeConflict         = wire.CodeConflict
	codeRequestTimeout   = "REQUEST_TIMEOUT"
	codePayloadTooLarge  = "PAYLOAD_TOO_LARGE"
	codeUnsupportedMedia = "UNSUPPORTED_MEDIA_TYPE"
	codeKeyReused        = "IDEMPOTENCY_KEY_REUSED"
	codeHeadersTooLarge  = "HEADERS_TOO_LARGE"
	codeRateLimited      = "RATE_LIMITED"
	codeInternal         = wire.CodeInternal
	codeNotSupported     = wire.CodeNotSupported
	codeUnavailable      = "UNAVAILABLE"
	codeOverloaded       = "OVERLOADED"
	codeTimeout          = wire.CodeTimeout
)

// statusOf is the one table of statuses.
func statusOf(code string) int {
	switch code {
	case codeBadRequest:
		return http.StatusBadRequest
	case codeUnauthenticated:
		return http.StatusUnauthorized
	case codeForbidden:
		return http.StatusForbidden
	case codeNotFound:
		return http.StatusNotFound
	case codeMethodNotAllowed:
		return http.StatusMethodNotAllowed
	case codeConflict:
		return http.StatusConflict
	case codeRequestTimeout:
		return http.StatusRequestTimeout
	case codePayloadTooLarge:
		return http.StatusRequestEntityTooLarge
	case codeUnsupportedMedia:
		return http.StatusUnsupportedMediaType
	case codeKeyReused:
		return http.StatusUnprocessableEntity
	case codeHeadersTooLarge:
		return http.StatusRequestHeaderFieldsTooLarge
	case codeRateLimited:
		return http.StatusTooManyRequests
	case codeNotSupported:
		return http.StatusNotImplemented
	case codeUnavailable, codeOverloaded:
		return http.StatusServiceUnavailable
	case codeTimeout:
		return http.StatusGatewayTimeout
	default:
		return http.StatusInternalServerError
	}
}

// failure is an error that the gateway itself answers with.
type failure struct {
	code    string
	message string
	details any

	retryAfter time.Duration // header Retry-After; 0: none
	allow      string        // header Allow
	location   string        // header Location
	challenge  string        // header WWW-Authenticate
	unanswered string        // of a cached route: why the cache gave nothing, for Cache-Status
	closeAfter bool          // the connection cannot be trusted any more
}

func (f *failure) Error() string { return f.code + ": " + f.message }

func fail(code, message string) *failure { return &failure{code: code, message: message} }

func unavailable(message string) *failure {
	return &failure{code: codeUnavailable, message: message, retryAfter: time.Second}
}

// problem is one detail of a BAD_REQUEST.
type problem struct {
	Field   string `json:"field"`
	Problem string `json:"problem"`
}

func badRequest(problems ...problem) *failure {
	message := "the request does not fit"
	if len(problems) > 0 {
		message = problems[0].Field + ": " + problems[0].Problem
	}
	return &failure{code: codeBadRequest, message: message, details: problems}
}

// seconds writes a duration for Retry-After, rounded up to at least one.
func seconds(d time.Duration) string {
	return strconv.Itoa(max(1, int((d+time.Second-1)/time.Second)))
}
