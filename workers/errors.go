package workers

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/oskadev/mailroom/bus/consumer"
	"github.com/oskadev/mailroom/bus/wire"
)

// Code names a failure for programs, in upper case with underscores. A service may define
// codes of its own, such as VOUCHER_USED.
type Code string

// The codes of Mailroom. The error of a call may have one of them, and a handler may
// return them.
const (
	CodeBadRequest    Code = "BAD_REQUEST"                // 400: an argument does not fit
	CodeForbidden     Code = "FORBIDDEN"                  // 403
	CodeNotFound      Code = "NOT_FOUND"                  // 404
	CodeConflict      Code = "CONFLICT"                   // 409
	CodeUnprocessable      = Code(wire.CodeUnprocessable) // 422
	CodeInternal      Code = "INTERNAL"                   // 500: a panic or an unknown error
	CodeNotSupported  Code = "NOT_SUPPORTED"              // 501: no such action
	CodeUnavailable   Code = "UNAVAILABLE"                // 503: no live worker, or no Redis
	CodeOverloaded    Code = "OVERLOADED"                 // 503: the mailbox is full
	CodeTimeout       Code = "TIMEOUT"                    // 504: no reply in time
	CodeCycle         Code = "ASK_CYCLE"                  // 508: a call waits for itself
	CodeTooDeep       Code = "ASK_TOO_DEEP"               // 508: too many calls in a row
)

// Error is a failure that a handler reports to its caller. It is an outcome, and the
// request does not run again. Any other error of a handler becomes INTERNAL; the worker
// logs it and the caller does not see it.
type Error struct {
	// Code names the failure for programs, such as VOUCHER_USED.
	Code Code
	// Status is the HTTP status, 400 to 599; any other counts as 500.
	Status int
	// Message describes the failure for people.
	Message string
	// Details is any value that can be encoded as JSON; nil: none.
	Details any

	cause           error
	service, action string // of the failed call, for an error of another service
}

// Fail returns an [Error].
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

// Error returns the code and the message.
func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

// Unwrap returns the cause; see [Error.WithCause].
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

// Of returns a copy that names the action of another service that failed, for a handler
// that returns the error of that service.
func (e *Error) Of(service, action string) *Error {
	c := *e
	c.service, c.action = service, action
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
type noOutcomeError struct {
	cause   error
	outcome consumer.Outcome // when and how the request is delivered again
}

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
	return &noOutcomeError{cause: err, outcome: consumer.Retry()}
}

// Release returns an error like that of [NoOutcome] for work that has certainly ended, for
// example because the process that did it is dead. The request is delivered again at once,
// to any worker, and becomes a dead letter after the last attempt.
func Release(err error) error {
	if err == nil {
		err = errors.New("no reason given")
	}
	return &noOutcomeError{cause: err, outcome: consumer.Release()}
}

// NotBegun returns an error like that of [Release] for work that has certainly not begun.
// The delivery does not count as an attempt.
func NotBegun(err error) error {
	if err == nil {
		err = errors.New("no reason given")
	}
	return &noOutcomeError{cause: err, outcome: consumer.NotBegun()}
}
