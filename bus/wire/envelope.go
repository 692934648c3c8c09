package wire

import (
	"bytes"
	"encoding/json"
	"time"
)

// Error is the error of an envelope: the error of a service, or the reason why there is
// no reply.
type Error struct {
	// Code names the failure for programs: upper case with underscores.
	Code Code `json:"code"`
	// Message describes the failure for people.
	Message string `json:"message"`
	// Status is the HTTP status.
	Status int `json:"status"`
	// Details is any JSON value with more information.
	Details any `json:"details,omitempty"`
	// Service and Action name the action that failed.
	Service string `json:"service,omitempty"`
	Action  string `json:"action,omitempty"`
	// RequestID is the caller's X-Request-Id.
	RequestID string `json:"request_id,omitempty"`
	// CorrelationID is the request's ID on the bus; empty if it equals RequestID.
	CorrelationID string `json:"correlation_id,omitempty"`

	// RetryAfter is the time after which a retry may succeed; 0: not known. The envelope
	// does not hold it.
	RetryAfter time.Duration `json:"-"`

	cause error
}

// NewError returns an error with one of Mailroom's own codes.
func NewError(code Code, message string) *Error {
	return &Error{Code: code, Status: code.Status(), Message: message}
}

// Error returns the code and the message.
func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.cause }

// WithCause sets the cause and returns e. The envelope does not hold it.
func (e *Error) WithCause(cause error) *Error {
	e.cause = cause
	return e
}

// Stamp sets the IDs of the request that failed.
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

// Failure returns the envelope of an error. It omits details that cannot be encoded.
func Failure(e *Error) []byte {
	body, err := json.Marshal(e)
	if err != nil {
		plain := *e
		plain.Details = nil
		// Strings and a number can always be encoded.
		body, _ = json.Marshal(&plain)
	}
	return append(append([]byte(`{"ok":false,"error":`), body...), '}')
}

// ParseEnvelope returns the result of an envelope, or its error with the details as
// json.RawMessage. The error of an unreadable envelope is INTERNAL.
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

// oneLine removes line breaks between the tokens of JSON. Strings hold none.
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
