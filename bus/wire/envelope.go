package wire

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
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
	e := make([]byte, 0, len(successHead)+len(result)+1)
	e = append(e, successHead...)
	e = append(e, result...)
	return oneLine(append(e, '}'))
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
	result, ok, err := ReadEnvelope(envelope)
	switch {
	case err != nil:
		return nil, NewError(CodeInternal, "the service's answer cannot be read").WithCause(err)
	case ok:
		return json.RawMessage(result), nil
	}
	var read struct {
		Error struct {
			Error
			Details json.RawMessage `json:"details"`
		} `json:"error"`
	}
	if err := json.Unmarshal([]byte(envelope), &read); err != nil {
		return nil, NewError(CodeInternal, "the service's answer cannot be read").WithCause(err)
	}
	e := &read.Error.Error
	if len(read.Error.Details) > 0 {
		e.Details = read.Error.Details
	}
	return nil, e
}

// successHead begins the envelope of a success, as Go workers write it.
const successHead = `{"ok":true,"result":`

var errEnvelope = errors.New("not an envelope: want ok, and result or error, each once")

// ReadEnvelope reads a whole envelope. ok reports a success, whose result is returned; null if
// it has none. The
// error is that of text that is not an envelope: nobody may act on how it begins.
func ReadEnvelope(envelope string) (result string, ok bool, err error) {
	if inner, found := strings.CutPrefix(envelope, successHead); found {
		if inner, found = strings.CutSuffix(inner, "}"); found && json.Valid([]byte(inner)) {
			return inner, true, nil
		}
	}
	// Its own reader: encoding/json accepts repeated names and names in other case.
	d := jsontext.NewDecoder(strings.NewReader(envelope), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if token, err := d.ReadToken(); err != nil || token.Kind() != '{' {
		return "", false, errEnvelope
	}
	seen := make(map[string]jsontext.Value, 2)
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			return "", false, errEnvelope
		}
		key := name.String() // the next read invalidates the token
		value, err := d.ReadValue()
		if _, repeated := seen[key]; err != nil || repeated {
			return "", false, errEnvelope
		}
		seen[key] = value.Clone()
	}
	if _, err := d.ReadToken(); err != nil { // the end of the object
		return "", false, errEnvelope
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return "", false, errEnvelope
	}
	switch {
	case string(seen["ok"]) == "true":
		return cmp.Or(string(seen["result"]), "null"), true, nil
	case string(seen["ok"]) == "false" && seen["error"].Kind() == '{':
		return "", false, nil
	default:
		return "", false, errEnvelope
	}
}

// Unreadable returns the error for an answer of a service that is not an envelope.
func Unreadable(service, action string) *Error {
	e := NewError(CodeInternal, "the service's answer cannot be read")
	e.Service, e.Action = service, action
	return e
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
