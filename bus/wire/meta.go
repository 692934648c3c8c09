package wire

import (
	"encoding/json"
	"strconv"
)

// Meta is what travels with a request beside its arguments.
type Meta struct {
	// RequestID is the caller's own X-Request-Id.
	RequestID string `json:"request_id,omitempty"`
	// TraceParent is the W3C trace context (https://www.w3.org/TR/trace-context/).
	TraceParent string `json:"traceparent,omitempty"`
	// Caller is the asker's identifier.
	Caller string `json:"caller,omitempty"`
	// Version is the version of the API that was called, as in v2; empty: none.
	Version string `json:"version,omitempty"`
	// Plan is the hash of what a composition runs.
	Plan string `json:"plan,omitempty"`
	// Began is when a composition was first asked for, in unix milliseconds of Redis; 0:
	// not known.
	Began int64 `json:"began,omitempty"`
	// Depth is how many services have asked each other to get here.
	Depth int `json:"depth,omitempty"`
	// Lanes are those held by the requests that wait for this one. See LaneName.
	Lanes []string `json:"lanes,omitempty"`
	// Principal is who called the API; nil: nobody had to say.
	Principal *Principal `json:"principal,omitempty"`
}

// ParseMeta reads the meta field; what it cannot read it leaves empty, since
// meta never decides whether a request runs.
func (r *Request) ParseMeta() Meta {
	var m Meta
	if r.Meta != "" {
		if err := json.Unmarshal([]byte(r.Meta), &m); err != nil {
			return Meta{}
		}
	}
	return m
}

// Encode is the meta as JSON, but for the principal, which an Ask names by itself; empty
// where there is nothing to say.
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

// appendText writes a JSON string. Most need no escapes, and no detour.
func appendText(dst []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			escaped, _ := json.Marshal(text) // a string always can be
			return append(dst, escaped...)
		}
	}
	return append(append(append(dst, '"'), text...), '"')
}
