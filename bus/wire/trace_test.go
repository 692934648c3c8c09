package wire

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func TestTraceParentOfARequest(t *testing.T) {
	t.Parallel()
	for meta, want := range map[string]string{
		"":                                      "",
		`{"request_id":"a"}`:                    "",
		`{"traceparent":"` + traceparent + `"}`: traceparent,
		`{ "traceparent" : "` + traceparent + `" }`:          traceparent,
		`{"request_id":"\"traceparent\":\"no\""}`:            "",
		`{"traceparent":"a\"b"}`:                             `a"b`,
		`{"traceparent":7}`:                                  "",
		`{"traceparent":"unclosed`:                           "",
		(&Meta{TraceParent: traceparent, Depth: 1}).Encode(): traceparent,
	} {
		assert.Equal(t, want, (&Request{Meta: meta}).TraceParent(), meta)
	}
}

// A log line about a request has its three IDs, whatever its caller sent.
func TestLogIDs(t *testing.T) {
	t.Parallel()
	line := func(r *Request) string {
		var b bytes.Buffer
		slog.New(slog.NewTextHandler(&b, nil)).With(slog.Int("a", 1)).Info("m", r.LogIDs())
		_, rest, _ := strings.Cut(b.String(), "a=1")
		return rest
	}
	const id = "0190a5b4-7c3e-7d52-9f3e-0123456789ab"
	assert.Equal(t, " request_id="+id+" correlation_id="+id+"\n", line(&Request{ID: id}))
	assert.Equal(t, " request_id=mine correlation_id="+id+" trace_id=0af7651916cd43dd8448eb211c80319c\n",
		line(&Request{ID: id, Meta: (&Meta{RequestID: "mine", TraceParent: traceparent}).Encode()}))
	hostile := line(&Request{ID: id, Meta: (&Meta{RequestID: "a\nlevel=ERROR" + strings.Repeat("b", 500), TraceParent: "00-\nx"}).Encode()})
	assert.Equal(t, 1, strings.Count(hostile, "\n"), hostile)
	assert.Less(t, len(hostile), 300)
	assert.NotContains(t, hostile, "trace_id")
}
