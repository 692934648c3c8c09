package wire

import "net/http"

// Code names a failure for programs. Mailroom's own codes are the constants below;
// a service may use any other, such as VOUCHER_USED.
type Code string

// Mailroom's own codes. The HTTP status of each is Code.Status.
const (
	CodeBadRequest       Code = "BAD_REQUEST"
	CodeUnauthenticated  Code = "UNAUTHENTICATED"
	CodeForbidden        Code = "FORBIDDEN"
	CodeNotFound         Code = "NOT_FOUND"
	CodeMethodNotAllowed Code = "METHOD_NOT_ALLOWED"
	CodeRequestTimeout   Code = "REQUEST_TIMEOUT"
	CodeConflict         Code = "CONFLICT"
	CodePayloadTooLarge  Code = "PAYLOAD_TOO_LARGE"
	CodeUnsupportedMedia Code = "UNSUPPORTED_MEDIA_TYPE"
	CodeUnprocessable    Code = "UNPROCESSABLE"
	CodeKeyReused        Code = "IDEMPOTENCY_KEY_REUSED"
	CodeRateLimited      Code = "RATE_LIMITED"
	CodeStorageLimited   Code = "STORAGE_LIMITED"
	CodeOutcomeNotKept   Code = "OUTCOME_NOT_KEPT"
	CodeHeadersTooLarge  Code = "HEADERS_TOO_LARGE"
	CodeInternal         Code = "INTERNAL"
	CodeNotSupported     Code = "NOT_SUPPORTED"
	CodeUnavailable      Code = "UNAVAILABLE"
	CodeOverloaded       Code = "OVERLOADED"
	CodeTimeout          Code = "TIMEOUT"
	CodeCycle            Code = "ASK_CYCLE"
	CodeTooDeep          Code = "ASK_TOO_DEEP"
)

// Status returns the HTTP status of one of Mailroom's own codes; 500 for any other.
func (c Code) Status() int {
	switch c {
	case CodeBadRequest:
		return http.StatusBadRequest
	case CodeUnauthenticated:
		return http.StatusUnauthorized
	case CodeForbidden:
		return http.StatusForbidden
	case CodeNotFound:
		return http.StatusNotFound
	case CodeMethodNotAllowed:
		return http.StatusMethodNotAllowed
	case CodeRequestTimeout:
		return http.StatusRequestTimeout
	case CodeConflict:
		return http.StatusConflict
	case CodePayloadTooLarge:
		return http.StatusRequestEntityTooLarge
	case CodeUnsupportedMedia:
		return http.StatusUnsupportedMediaType
	case CodeUnprocessable, CodeKeyReused:
		return http.StatusUnprocessableEntity
	case CodeOutcomeNotKept:
		return http.StatusGone
	case CodeRateLimited, CodeStorageLimited:
		return http.StatusTooManyRequests
	case CodeHeadersTooLarge:
		return http.StatusRequestHeaderFieldsTooLarge
	case CodeNotSupported:
		return http.StatusNotImplemented
	case CodeUnavailable, CodeOverloaded:
		return http.StatusServiceUnavailable
	case CodeTimeout:
		return http.StatusGatewayTimeout
	case CodeCycle, CodeTooDeep:
		return http.StatusLoopDetected
	default:
		return http.StatusInternalServerError
	}
}
