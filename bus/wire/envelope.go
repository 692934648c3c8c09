package wire

import (
	"bytes"
	"encoding/json"
)

// Error is the error of an envelope, the answer of a request that failed.
type Error struct {
	// Code names the failure for programs: upper case with underscores.
	Code string `json:"code"`
	// Message tells people what happened.
	Message string `json:"message"`
	// Status is the HTTP status that fits.
	Status int `json:"status"`
	// Details is anything that helps, as JSON.
	Details any `json:"details,omitempty"`
	// Service and Action say who failed.
	Service string `json:"service,omitempty"`
	Action  string `json:"action,omitempty"`
	// RequestID is the caller's X-Request-Id.
	RequestID string `json:"request_id,omitempty"`
	// CorrelationID is the request's own ID on the bus, where it differs.
	CorrelationID string `json:"correlation_id,omitempty"`
}

// Codes of failures that the bus itself reports in envelopes.
const (
	CodeBadRequest   = "BAD_REQUEST"
	CodeConflict     = "CONFLICT"
	CodeInternal     = "INTERNAL"
	CodeNotSupported = "NOT_SUPPORTED"
	CodeTimeout      = "TIMEOUT"
)

// Success is the envelope of a result, which is JSON.
func Success(result []byte) []byte {
	const head, tail = `{"ok":true,"result":`, `}`
	e := make([]byte, 0, len(head)+len(result)+len(tail))
	e = append(e, head...)
	e = append(e, result...)
	return oneLine(append(e, tail...))
}

// Failure is the envelope of an error. Details that are no JSON are left out.
func Failure(e Error) []byte {
	body, err := json.Marshal(e)
	if err != nil {
		e.Details = nil
		// Without details there are only strings and a number left.
		body, _ = json.Marshal(e)
	}
	return append(append([]byte(`{"ok":false,"error":`), body...), '}')
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

// Stamp fills in which request failed.
func (e *Error) Stamp(r *Request) {
	e.RequestID = r.ID
	if own := r.ParseMeta().RequestID; own != "" && own != r.ID {
		e.RequestID, e.CorrelationID = own, r.ID
	}
}
