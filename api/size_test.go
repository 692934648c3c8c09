package api_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/api"
	"github.com/oskadev/mailroom/testsupport"
)

func TestRoutesHaveSizesOfTheirOwn(t *testing.T) {
	t.Parallel()
	s := newStage(t, func(c *api.Config) {
		c.BodyLimit = 1000
		for _, text := range []string{"POST /things request=100", "PUT /things/:id request=2KiB response=1KiB"} {
			rule, err := api.ParseSize(text)
			require.NoError(t, err)
			c.Sizes = append(c.Sizes, rule)
		}
	})
	pad := func(n int) string { return `{"a":"` + strings.Repeat("x", n-8) + `"}` }
	a := s.refused(413, "PAYLOAD_TOO_LARGE", http.MethodPost, "/things", pad(101))
	assert.Contains(t, a.Error.Message, "over 100 bytes")
	w := s.dial(t)
	w.say("POST /things HTTP/1.1\r\nHost: x\r\nContent-Length: 101\r\n\r\n") // and nothing more
	assert.Equal(t, 413, w.hear(http.MethodPost).status, "said before it is read")
	w = s.dial(t)
	w.say("POST /things HTTP/1.1\r\nHost: x\r\nContent-Length: 101\r\nExpect: 100-continue\r\n\r\n")
	assert.Equal(t, 413, w.hear(http.MethodPost).status)
	for _, target := range []string{"http://x/things", "HTTP://x/things", "/things#x", "/things?x", "/things/", "/%74hings"} {
		w = s.dial(t)
		w.say("POST " + target + " HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 101\r\n\r\n" + pad(101))
		assert.Equal(t, 413, w.hear(http.MethodPost).status, target)
	}
	s.refused(413, "PAYLOAD_TOO_LARGE", http.MethodPost, "/things/5/touch", pad(1001))
	a = s.refused(413, "PAYLOAD_TOO_LARGE", http.MethodPut, "/things/5", pad(2049))
	assert.Contains(t, a.Error.Message, "over 2048 bytes")
	s.untouched()

	assert.Equal(t, 200, s.do(http.MethodPut, "/things/5", pad(987)).status, "its envelope is just short enough")
	a = s.refused(500, "INTERNAL", http.MethodPut, "/things/5", pad(988))
	assert.Contains(t, a.Error.Message, "larger than this route may give")
	assert.NotEmpty(t, a.header.Get("Location"), "it happened all the same: the outcome is there")
	s.logs.Wait(t, "an answer is larger than its route may give")
}

func TestSizeRules(t *testing.T) {
	t.Parallel()
	rule, err := api.ParseSize("POST /a/:id request=64KiB response=2MiB")
	require.NoError(t, err)
	assert.Equal(t, api.SizeRule{Route: "POST /a/:id", Request: 64 << 10, Response: 2 << 20}, rule)
	for text, says := range map[string]string{
		"post /a request=1": "method", "HEAD /a request=1": "method", "": "want", "POST /a": "want", "POST a request=1": "path", "POST /a request": "size", "POST /a request=0": "size",
		"POST /a request=-1": "size", "POST /a request=1KB": "size", "POST /a request=2000MiB": "size", "POST /a body=1": "body",
	} {
		_, err := api.ParseSize(text)
		assert.ErrorContains(t, err, says, text)
	}
}

// A slow service delays only its own callers.
func TestSlowServiceDelaysNoOtherService(t *testing.T) {
	t.Parallel()
	s := newStage(t, func(c *api.Config) { c.InFlight = 3 })
	other := s.quick()
	s.work(other)
	s.awaitRoute("/quick/count")
	entered, release := s.hold()
	var asking sync.WaitGroup
	for range 3 {
		asking.Go(func() {
			a, err := s.send(s.request(http.MethodPost, "/slow/hold", ""))
			if assert.NoError(t, err) {
				assert.Equal(t, 200, a.status, a.body)
			}
		})
		<-entered
	}
	a := s.refused(503, "OVERLOADED", http.MethodPost, "/slow/hold", "")
	assert.Contains(t, a.Error.Message, "slow")
	s.got(`7`, http.MethodGet, "/quick/count", "")
	close(release)
	asking.Wait()
	testsupport.Eventually(t, patience, "there is room again", func() bool {
		return s.do(http.MethodPost, "/slow/hold", "").status == 200
	})
}

// The same holds for compositions: each has a limit of its own, and its steps count for the
// services that they call.
func TestSlowServiceDelaysNoComposition(t *testing.T) {
	t.Parallel()
	s := newStage(t, func(c *api.Config) {
		c.InFlight = 3
		c.Versions = []byte(`versions: {v1: {routes: {
  POST /held: {steps: [{call: slow HOLD}]},
  POST /also: {steps: [{call: slow HOLD}]},
  GET /count: {steps: [{call: quick COUNT}]}}}}`)
	})
	s.work(s.quick())
	s.awaitRoute("/quick/count")
	entered, release := s.hold()
	var asking sync.WaitGroup
	for range 3 {
		asking.Go(func() {
			a, err := s.send(s.request(http.MethodPost, "/v1/held", ""))
			if assert.NoError(t, err) {
				assert.Equal(t, 200, a.status, a.body)
			}
		})
		<-entered
	}
	a := s.refused(503, "OVERLOADED", http.MethodPost, "/v1/held", "")
	assert.Contains(t, a.Error.Message, "POST /v1/held")
	a = s.refused(503, "OVERLOADED", http.MethodPost, "/v1/also", "")
	assert.NotEmpty(t, a.header.Get("Retry-After"))
	s.refused(503, "OVERLOADED", http.MethodPost, "/slow/hold", "")
	s.got(`7`, http.MethodGet, "/v1/count", "")
	close(release)
	asking.Wait()
}
