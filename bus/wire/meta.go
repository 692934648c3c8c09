package wire

import (
	"encoding/json"
	"strconv"
)

// Meta is the metadata of a request.
type Meta struct {
	// RequestID is the caller's own X-Request-Id.
	RequestID string `json:"request_id,omitempty"`
	// TraceParent is the W3C trace context (https://www.w3.org/TR/trace-context/).
	TraceParent string `json:"traceparent,omitempty"`
	// Caller is the identifier of the caller.
	Caller string `json:"caller,omitempty"`
	// Version is the version of the API that was called, such as v2; empty: none.
	Version string `json:"version,omitempty"`
	// Plan is the hash of the plan of a composition.
	Plan string `json:"plan,omitempty"`
	// Began is the time of the first call of a composition, in unix milliseconds of
	// Redis; 0: not known.
	Began int64 `json:"began,omitempty"`
	// Depth is the number of services in the chain of calls.
	Depth int `json:"depth,omitempty"`
	// Lanes are the lanes that the requests waiting for this one hold. See LaneName.
	Lanes []string `json:"lanes,omitempty"`
	// Principal is the principal of the API call; nil: anonymous.
	Principal *Principal `json:"principal,omitempty"`
}

// ParseMeta reads the meta field. An unreadable one gives an empty Meta, since metadata
// never decides whether a request runs.
func (r *Request) ParseMeta() Meta {
	var m Meta
	if r.Meta != "" {
		if err := json.Unmarshal([]byte(r.Meta), &m); err != nil {
			return Meta{}
		}
	}
	return m
}

// Encode returns the metadata as JSON without the principal, which a call sets by
// itself; empty if there is none.
func (m *Meta) Encode() string {
	dst := make([]byte, 1, 160)
	dst[0] = '{'
	pair := func(name string) {
		if len(dst) > 1 {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, '"'), name...), `":`...)
	}
	for _, text := range [...]struct{ name, value string }{
		{"request_id", m.RequestID}, {"traceparent", m.TraceParent}, {"caller", m.Caller}, {"version", m.Version}, {"plan", m.Plan},
	} {
		if text.value != "" {
			pair(text.name)
			dst = appendText(dst, text.value)
		}
	}
	for _, number := range [...]struct {
		name  string
		value int64
	}{{"began", m.Began}, {"depth", int64(m.Depth)}} {
		if number.value != 0 {
			pair(number.name)
			dst = strconv.AppendInt(dst, number.value, 10)
		}
	}
	for i, lane := range m.Lanes {
		if i == 0 {
			pair("lanes")
			dst = append(dst, '[')
		} else {
			dst = append(dst, ',')
		}
		dst = appendText(dst, lane)
	}
	switch {
	case len(m.Lanes) > 0:
		dst = append(dst, ']')
	case len(dst) == 1:
		return ""
	}
	return string(append(dst, '}'))
}
