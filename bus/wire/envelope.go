package wire

import (
	"bytes"
	"encoding/json"
	"time"
)

// Error is why a request has no result: what a service answered, or why there is
// no answer. It is the error of an envelope.
type Error struct {
	// Code names the failure for programs: upper case with underscores.
	Code Code `json:"code"`
	// Message tells people what happened.
	Message string `json:"message"`
	// Status is the HTTP status.
	Status int `json:"status"`
	// Details is anything that helps, as JSON.
	Details any `json:"details,omitempty"`
	// Service and Action say which action failed.
	Service string `json:"service,omitempty"`
	Action  string `json:"action,omitempty"`
	// RequestID is the caller's X-Request-Id.
	RequestID string `json:"request_id,omitempty"`
	// CorrelationID is the request's own ID on the bus, where it differs.
	CorrelationID string `json:"correlation_id,omitempty"`

	// RetryAfter says when a retry may help; 0: unknown. It is not in the envelope.
	RetryAfter time.Duration `json:"-"`

	cause error
}

// NewError returns an error with one of Mailroom's own codes.
func NewError(code Code, message string) *Error {
	return &Error{Code: code, Status: code.Status(), Message: message}
}

// Error is the code and the message.
func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.cause }

// WithCause sets the error that led to this one. Callers never see it.
func (e *Error) WithCause(cause error) *Error {
	e.cause = cause
	return e
}

// Stamp sets which request failed.
func (e *Error) Stamp(r *Request) {
	e.RequestID = r.ID
	if own := r.ParseMeta().RequestID; own != "" && own != r.ID {
		e.RequestID, e.CorrelationID = own, r.ID
	}
}

// Success returns the envelope of a result, which is JSON.
func Success(result []byte) []byte {
	const head, tail = `{"ok":true,"result":`, `}`
	e := make([]byte, 0, len(head)+len(result)+len(tail))
	e = append(e, head...)
	e = append(e, result...)
	return oneLine(append(e, tail...))
}

// Failure returns the envelope of an error. Details that are not JSON are left out.
func Failure(e *Error) []byte {
	body, err := json.Marshal(e)
	if err != nil {
		plain := *e
		plain.Details = nil
		// Without details there are only strings and a number left.
		body, _ = json.Marshal(&plain)
	}
	return append(append([]byte(`{"ok":false,"error":`), body...), '}')
}

// ErrorOf returns the error in an envelope, its details as json.RawMessage; nil: the
// envelope is a success. An envelope that cannot be read is INTERNAL.
func ErrorOf(envelope string) *Error {
	_, err := ParseEnvelope(envelope)
	return err
}

// ParseEnvelope returns the result in an envelope, or the error, whose details are
// json.RawMessage. An envelope that cannot be read is INTERNAL.
func ParseEnvelope(envelope string) (json.RawMessage, *Error) {
	var read struct {
		OK     *bool           `json:"ok"`
		Result json.RawMessage `json:"result"`
		Error  struct {
			Error
			Details json.RawMessage `json:"details"`
		} `json:"error"`
	}
	switch err := json.Unmarshal([]byte(envelope), &read); {
	case err != nil, read.OK == nil:
		return nil, NewError(CodeInternal, "the service's answer cannot be read").WithCause(err)
	case *read.OK:
		return read.Result, nil
	}
	e := &read.Error.Error
	if len(read.Error.Details) > 0 {
		e.Details = read.Error.Details
	}
	return nil, e
}

// oneLine removes the line breaks that raw JSON may hold between its tokens;
// within strings they are escaped already.
func oneLine(envelope []byte) []byte {
	if bytes.IndexByte(envelope, '\n') < 0 && bytes.IndexByte(envelope, '\r') < 0 {
		return envelope
	}
	var b bytes.Buffer
	if err := json.Compact(&b, envelope); err != nil {
		return envelope
	}
	return b.Bytes()
}
