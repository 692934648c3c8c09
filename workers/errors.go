package workers

import (
	"errors"
	"fmt"
	"net/http"
)

// Error is a failure that a service tells its caller: an outcome like any
// other. Any other error from a handler becomes INTERNAL, and only the log
// says more.
type Error struct {
	// Code names the failure for programs, such as VOUCHER_USED.
	Code string
	// Status is the HTTP status, 400 to 599; any other counts as 500.
	Status int
	// Message tells people what happened.
	Message string
	// Details is anything that helps; it is written as JSON.
	Details any

	cause           error
	service, action string // whose it is, if not the handler's own
}

// Fail makes an Error of the service's own.
func Fail(code string, status int, message string) *Error {
	return &Error{Code: code, Status: status, Message: message}
}

// Error is the code and the message.
func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Unwrap returns what WithCause set.
func (e *Error) Unwrap() error { return e.cause }

// WithDetails returns a copy with details.
func (e *Error) WithDetails(details any) *Error {
	c := *e
	c.Details = details
	return &c
}

// WithCause returns a copy that keeps an error for the log; the caller does
// not see it.
func (e *Error) WithCause(cause error) *Error {
	c := *e
	c.cause = cause
	return &c
}

// NotFound is the answer for what does not exist: 404 NOT_FOUND.
func NotFound(message string) *Error { return Fail("NOT_FOUND", http.StatusNotFound, message) }

// Conflict is the answer for what cannot be as things stand: 409 CONFLICT.
func Conflict(message string) *Error { return Fail("CONFLICT", http.StatusConflict, message) }

// FieldError says what is wrong with one field of a request.
type FieldError struct {
	Field   string `json:"field"`
	Problem string `json:"problem"`
}

// BadRequest is the answer for a request that does not fit: 400 BAD_REQUEST,
// with one detail for each field.
func BadRequest(fields ...FieldError) *Error {
	message := "the request does not fit"
	if len(fields) > 0 {
		message = fmt.Sprintf("%s: %s", fields[0].Field, fields[0].Problem)
	}
	return Fail("BAD_REQUEST", http.StatusBadRequest, message).WithDetails(fields)
}

// noOutcomeError is an error that is no outcome.
type noOutcomeError struct{ cause error }

func (e *noOutcomeError) Error() string { return "no outcome: " + e.cause.Error() }

func (e *noOutcomeError) Unwrap() error { return e.cause }

// NoOutcome is what a handler returns that cannot know what became of its
// work, because its database did not answer, say. Nothing is settled: the
// request is delivered again after the idle limit, and becomes a dead letter
// after the last attempt.
func NoOutcome(err error) error {
	if err == nil {
		err = errors.New("no reason given")
	}
	return &noOutcomeError{cause: err}
}
