package wire

import (
	"log/slog"
	"strings"
)

// ValidTraceParent reports whether a text is a traceparent of the W3C trace context:
// version, trace, parent and flags in lower-case hexadecimal
// (https://www.w3.org/TR/trace-context/#traceparent-header).
func ValidTraceParent(s string) bool {
	if len(s) < 55 || len(s) > 128 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case i == 2 || i == 35 || i == 52:
			if c != '-' {
				return false
			}
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f':
		case i > 55 && c == '-':
		default:
			return false
		}
	}
	return s[:2] != "ff" && (len(s) == 55 || s[55] == '-')
}

// TraceParent returns the W3C trace context in the meta of the request; empty: none. It
// reads less than ParseMeta.
func (r *Request) TraceParent() string {
	const name = "traceparent"
	_, rest, found := strings.Cut(r.Meta, `"`+name+`":"`)
	if value, _, closed := strings.Cut(rest, `"`); found && closed && !strings.Contains(value, `\`) {
		return value
	}
	if strings.Contains(r.Meta, name) {
		return r.ParseMeta().TraceParent
	}
	return ""
}

// LogIDs returns the IDs of a log line about the request, as one attribute.
func (r *Request) LogIDs() slog.Attr {
	meta := r.ParseMeta()
	return LogIDs(meta.RequestID, r.ID, meta.TraceParent)
}

// LogIDs returns request_id, correlation_id and, where there is a valid traceparent,
// trace_id as one attribute, a group without a name. The request ID defaults to the
// correlation ID.
func LogIDs(requestID, correlationID, traceparent string) slog.Attr {
	if requestID == "" {
		requestID = correlationID
	}
	ids := append(make([]slog.Attr, 0, 3), slog.String("request_id", cut(requestID)), slog.String("correlation_id", cut(correlationID)))
	if ValidTraceParent(traceparent) {
		ids = append(ids, slog.String("trace_id", traceparent[3:35]))
	}
	return slog.Attr{Value: slog.GroupValue(ids...)}
}

// cut limits an ID that another process wrote.
func cut(id string) string { return id[:min(len(id), 128)] }
