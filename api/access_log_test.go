package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/api"
	"github.com/oskadev/mailroom/testsupport"
)

const accessLine = "msg=request "

// The access log has a line for a request, without its query, body or credential.
func TestAccessLog(t *testing.T) {
	t.Parallel()
	s := newStage(t, func(c *api.Config) { c.AccessLog = 10_000 })
	s.do(http.MethodGet, "/things/x?secret=hidden%0Amsg", "", "X-Request-Id: mine", "X-API-Key: hidden",
		"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	require.Equal(t, http.StatusOK, s.do(http.MethodGet, "/things/7", "").status)
	var lines []string
	for line := range strings.Lines(s.logs.String()) {
		if strings.Contains(line, accessLine) && (strings.Contains(line, "/things/7") || strings.Contains(line, "/things/x")) {
			lines = append(lines, line)
		}
	}
	require.Len(t, lines, 2)
	for _, want := range []string{"method=GET", "path=/things/x ", "status=400", "request_id=mine", "correlation_id=", "refused=BAD_REQUEST", "trace_id=0af7651916cd43dd8448eb211c80319c", "took="} {
		assert.Contains(t, lines[0], want)
	}
	for _, want := range []string{"status=200", "service=things", "action=GET_THING", "worker=things."} {
		assert.Contains(t, lines[1], want)
	}
	assert.NotContains(t, s.logs.String(), "hidden")
}

// Above its rate the access log leaves requests out, and says how many.
func TestAccessLogIsSampled(t *testing.T) {
	t.Parallel()
	s := newStage(t, func(c *api.Config) { c.AccessLog = 1 })
	testsupport.Eventually(t, patience, "a line tells of others", func() bool {
		for range 10 {
			s.do(http.MethodGet, "/things/7", "")
		}
		return strings.Contains(s.logs.String(), "left_out=")
	})
}

func TestNoAccessLogUnlessAsked(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.do(http.MethodGet, "/things/7", "")
	assert.NotContains(t, s.logs.String(), accessLine)
}
