package workers

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/oskadev/mailroom/bus/wire"
)

// Code names a failure for programs: upper case with underscores. A service may use
// any code of its own, such as VOUCHER_USED, beside Mailroom's.
type Code string

// Mailroom's own codes that a handler may meet in the error of a call, or return.
const (
	CodeBadRequest    = Code(wire.CodeBadRequest)    // 400: an argument does not fit
	CodeForbidden     = Code(wire.CodeForbidden)     // 403
	CodeNotFound      = Code(wire.CodeNotFound)      // 404
	CodeConflict      = Code(wire.CodeConflict)      // 409
	CodeUnprocessable = Code(wire.CodeUnprocessable) // 422
	CodeInternal      = Code(wire.CodeInternal)      // 500: a panic or an unknown error
	CodeNotSupported  = Code(wire.CodeNotSupported)  // 501: no such action
	CodeUnavailable   = Code(wire.CodeUnavailable)   // 503: no live worker, or no Redis
	CodeOverloaded    = Code(wire.CodeOverloaded)    // 503: the mailbox is full
	CodeTimeout       = Code(wire.CodeTimeout)       // 504: no reply in time
	CodeCycle         = Code(wire.CodeCycle)         // 508: a call waits for itself
	CodeTooDeep       = Code(wire.CodeTooDeep)       // 508: too many calls in a row
)

// Error is a failure that a service tells its caller: an outcome like any other.
// Any other error of a handler becomes INTERNAL, and only the log tells more.
type Error struct {
	// Code names the failure for programs, such as VOUCHER_USED.
	Code Code
	// Status is the HTTP status, 400 to 599; any other counts as 500.
	Status int
	// Message tells people what happened.
	Message string
	// Details is anything that helps; it is encoded as JSON.
	Details any

	cause           error
	service, action string // of the failed call, where it is not the handler's own
}

// Fail returns an Error.
func Fail(code Code, status int, message string) *Error {
	return &Error{Code: code, Status: status, Message: message}
}

// CodeOf returns the code of an error: that of the first Error in its chain,
// CodeInternal for any other error, and "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return CodeInternal
}

// Error is the code and the message.
func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

// Unwrap returns the cause; see WithCause.
func (e *Error) Unwrap() error { return e.cause }

// WithDetails returns a copy with details.
func (e *Error) WithDetails(details any) *Error {
	c := *e
	c.Details = details
	return &c
}

// WithCause returns a copy with the error that led to this one. It is for the log:
// the caller never sees it.
func (e *Error) WithCause(cause error) *Error {
	c := *e
	c.cause = cause
	return &c
}

// NotFound returns 404 NOT_FOUND: the thing does not exist.
func NotFound(message string) *Error { return Fail(CodeNotFound, http.StatusNotFound, message) }

// Conflict returns 409 CONFLICT: the present state does not allow it.
func Conflict(message string) *Error { return Fail(CodeConflict, http.StatusConflict, message) }

// FieldError is the problem of one field of a request.
type FieldError struct {
	Field   string `json:"field"`
	Problem string `json:"problem"`
}

// BadRequest returns 400 BAD_REQUEST: the request does not fit. Each field becomes
// one detail.
func BadRequest(fields ...FieldError) *Error {
	message := "the request does not fit"
	if len(fields) > 0 {
		message = fmt.Sprintf("%s: %s", fields[0].Field, fields[0].Problem)
	}
	return Fail(CodeBadRequest, http.StatusBadRequest, message).WithDetails(fields)
}

// noOutcomeError is an error that is not an outcome.
type noOutcomeError struct{ cause error }

func (e *noOutcomeError) Error() string { return "no outcome: " + e.cause.Error() }

func (e *noOutcomeError) Unwrap() error { return e.cause }

// NoOutcome returns the error of a handler that cannot know what became of its work,
// for example because its database did not answer. Nothing is settled: the request
// is delivered again after the idle limit, and becomes a dead letter after the last
// attempt.
func NoOutcome(err error) error {
	if err == nil {
		err = errors.New("no reason given")
	}
	return &noOutcomeError{cause: err}
}
