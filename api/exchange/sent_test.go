package exchange

import (
	"bufio"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"
)

// sentIn misses no header that the HTTP library sees, however it is written.
func FuzzSentHeaders(f *testing.F) {
	for _, seed := range []string{
		"", "X-Request-Id: 1\r\n", "x-REQUEST-id:1\n", "Traceparent: 00\r\nPragma: no-cache\r\n", "if-none-match: *\r\nCACHE-CONTROL:no-store\r\n",
		"Accept: */*\r\nCache-Control : a\r\n", "X-Request-Id\r\n: 1\r\n", "a: b\r\n cache-control: c\r\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, lines string) {
		var h fasthttp.RequestHeader
		if h.Read(bufio.NewReader(strings.NewReader("GET / HTTP/1.1\r\nHost: a\r\n"+lines+"\r\n\r\n"))) != nil {
			return
		}
		seen := sentIn(h.RawHeaders())
		for name, which := range map[string]sent{
			"X-Request-Id": sentRequestID, "Traceparent": sentTrace, "Cache-Control": sentCacheControl, "Pragma": sentCacheControl, "If-None-Match": sentIfNoneMatch,
		} {
			if len(h.Peek(name)) > 0 {
				assert.NotZero(t, seen&which, "%s is in %q", name, lines)
			}
		}
	})
}

func TestSentHeadersAreSeen(t *testing.T) {
	t.Parallel()
	require.Zero(t, sentIn([]byte("Host: a\r\nUser-Agent: b\r\nAccept: c\r\n\r\n")))
	assert.Equal(t, sentRequestID|sentIfNoneMatch, sentIn([]byte("Host: a\r\nx-request-ID: 1\r\nIf-None-Match: *")))
}
