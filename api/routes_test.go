package api_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/testsupport"
	"github.com/oskadev/mailroom/workers"
)

// soon is the time in which gateways see a new service.
const soon = 2 * time.Second

// small is a service with one action, GET /<name>.
func small(name string) *workers.Service {
	s := workers.NewService(name)
	// A call after the end of the last worker, but before the gateway knows it, waits for its timeout.
	workers.Handle0(s, "GREET", func(context.Context) (string, error) { return "I am " + name, nil },
		workers.Route("GET /"+name), workers.Timeout(time.Second))
	return s
}

func TestRoutesComeAndGoWithTheWorkers(t *testing.T) {
	t.Parallel()
	s := startGateway(t, testsupport.Miniredis(t), "")
	s.refused(404, "NOT_FOUND", http.MethodGet, "/birds", "")

	stop := s.work(small("birds"))
	testsupport.Eventually(t, soon+time.Second, "the birds can be reached", func() bool {
		return s.do(http.MethodGet, "/birds", "").status == http.StatusOK
	})
	s.got(`"I am birds"`, http.MethodGet, "/birds", "")
	s.refused(404, "NOT_FOUND", http.MethodGet, "/bees", "")

	other := s.work(small("bees"))
	testsupport.Eventually(t, soon+time.Second, "the bees can be reached as well", func() bool {
		return s.do(http.MethodGet, "/bees", "").status == http.StatusOK
	})
	second := s.work(small("birds"))
	testsupport.Eventually(t, patience, "there are two workers of birds", func() bool {
		return s.conn.Redis().ZCard(s.ctx, s.conn.Keys.Workers("birds")).Val() == 2
	})
	stop()
	s.got(`"I am birds"`, http.MethodGet, "/birds", "")
	second()
	testsupport.Eventually(t, soon+time.Second, "the birds have gone", func() bool {
		return s.do(http.MethodGet, "/birds", "").status == http.StatusServiceUnavailable
	})
	a := s.refused(503, "UNAVAILABLE", http.MethodGet, "/birds", "")
	assert.Equal(t, "1", a.header.Get("Retry-After"))
	assert.Contains(t, a.Error.Message, "birds")
	s.got(`"I am bees"`, http.MethodGet, "/bees", "")
	s.refused(404, "NOT_FOUND", http.MethodGet, "/birds/1/nothing", "")

	s.work(small("birds"))
	testsupport.Eventually(t, soon+time.Second, "the birds are back", func() bool {
		return s.do(http.MethodGet, "/birds", "").status == http.StatusOK
	})
	other()
}

func TestServiceWithoutManifestIsUnavailable(t *testing.T) {
	t.Parallel()
	s := startGateway(t, testsupport.Miniredis(t), "")
	require.NoError(t, s.conn.Redis().SAdd(s.ctx, s.conn.Keys.Services(), "ghosts").Err())
	testsupport.Eventually(t, soon+time.Second, "the ghosts are known", func() bool {
		return s.do(http.MethodGet, "/ghosts/1", "").status == http.StatusServiceUnavailable
	})
	s.refused(503, "UNAVAILABLE", http.MethodGet, "/ghosts", "")
	s.refused(404, "NOT_FOUND", http.MethodGet, "/others", "")
}

func TestPathsFindTheirAction(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for path, result := range map[string]string{
		"/things/count":            `3`,
		"/things/count/":           `3`,
		"/things/12":               `{"id":12}`,
		"/things/12/":              `{"id":12}`,
		"/things/%31%32":           `{"id":12}`,
		"/things/c%6Funt":          `3`,
		"/things/named/count":      `"count"`,
		"/things/named/a%2Fb":      `"a/b"`,
		"/things/named/a%20b+c":    `"a b+c"`,
		"/things/named/%C3%A4":     `"ä"`,
		"/things/named/%22%5C%0A":  `"\"\\\n"`,
		"/things/named/..%2F..":    `"../.."`,
		"/things/named/%2525":      `"%25"`,
		"/things/named/a%3Fb%23c":  `"a?b#c"`,
		"/things/count?unknown=1":  `3`,
		"/things/12?id=13&more=no": `{"id":12}`,
	} {
		s.got(result, http.MethodGet, path, "")
	}
	for _, path := range []string{
		"/", "/thing", "/thingsandmore", "/Things/1", "/THINGS", "/things/12/nothing", "/things//count", "//things",
		"/things/named//", "/things//touch", "/things//", "/v1/things", "/requests", "/openapi.yaml",
		"/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r/s/t", "/healthz/more",
	} {
		s.refused(404, "NOT_FOUND", http.MethodGet, path, "")
	}
	for _, path := range []string{"/things/named/%FF", "/things/named/%C3", "/things/named/%00"} {
		a := s.refused(400, "BAD_REQUEST", http.MethodGet, path, "")
		assert.Equal(t, []string{"path"}, a.faults(t))
	}
}

func TestHeadIsGetWithoutBody(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for _, path := range []string{"/things/12", "/things/count", "/things/abc", "/nothing", "/healthz", "/readyz"} {
		get, head := s.do(http.MethodGet, path, ""), s.do(http.MethodHead, path, "")
		assert.Equal(t, get.status, head.status, path)
		assert.Equal(t, get.header.Get("Content-Type"), head.header.Get("Content-Type"), path)
		if get.status == http.StatusOK { // errors hold the request's own ID
			assert.Equal(t, get.length, head.length, path)
		}
		assert.Positive(t, head.length, path)
	}
}

func TestMethods(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for path, allow := range map[string]string{
		"/things":         "GET, HEAD, POST, OPTIONS",
		"/things/":        "GET, HEAD, POST, OPTIONS",
		"/things/12":      "DELETE, GET, HEAD, PUT, OPTIONS",
		"/things/count":   "GET, HEAD, OPTIONS",
		"/things/5/touch": "POST, OPTIONS",
		"/healthz":        "GET, HEAD, OPTIONS",
		"/readyz":         "GET, HEAD, OPTIONS",
	} {
		a := s.do(http.MethodOptions, path, "")
		assert.Equal(t, http.StatusNoContent, a.status, path)
		assert.Equal(t, allow, a.header.Get("Allow"), path)
		a = s.refused(405, "METHOD_NOT_ALLOWED", http.MethodPatch, path, `{}`)
		assert.Equal(t, allow, a.header.Get("Allow"), path)
	}
	a := s.do(http.MethodHead, "/things/5/touch", "")
	assert.Equal(t, http.StatusMethodNotAllowed, a.status)
	assert.Equal(t, "POST, OPTIONS", a.header.Get("Allow"))
	s.refused(405, "METHOD_NOT_ALLOWED", http.MethodPost, "/things/count", "")
	s.refused(404, "NOT_FOUND", http.MethodOptions, "/nothing", "")
	s.untouched()
}
