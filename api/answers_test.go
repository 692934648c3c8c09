package api_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/api"
	"github.com/oskadev/mailroom/testsupport"
)

func TestSuccessTakesStatusAndLocationOfTheHandler(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	a := s.do(http.MethodPost, "/things", `{"name":"n","size":1}`)
	assert.Equal(t, http.StatusCreated, a.status)
	assert.Equal(t, "/things/7", a.header.Get("Location"))
	assert.JSONEq(t, `{"ok":true,"result":{"name":"n","size":1}}`, a.body)
	a = s.do(http.MethodPost, "/things", `{"name":"Ö b","size":1}`)
	assert.Equal(t, "/things/%C3%96%20b", a.header.Get("Location"), "a header has only what a URI may have")
	a = s.got(`3`, http.MethodGet, "/things/count", "")
	assert.Empty(t, a.header.Get("Location"))
	assert.JSONEq(t, `{"ok":true,"result":3}`, a.body)
	assert.Empty(t, a.header.Get("Server"))
	assert.Empty(t, a.header.Get("Retry-After"))
}

func TestServicesKeepTheirErrors(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	a := s.refused(409, "VOUCHER_USED", http.MethodPost, "/things/fail",
		`{"code":"VOUCHER_USED","status":409,"details":{"voucher":["A",1]}}`, "X-Request-Id: mine")
	assert.Equal(t, "as you wished", a.Error.Message)
	assert.JSONEq(t, `{"voucher":["A",1]}`, string(a.Error.Details))
	assert.Equal(t, "things", a.Error.Service)
	assert.Equal(t, "FAIL", a.Error.Action)
	assert.NotContains(t, a.body, "secret")
	for said, status := range map[string]int{
		"400": 400, "418": 418, "599": 599, "501": 501,
		"200": 500, "0": 500, "399": 500, "600": 500, "-1": 500, "99999": 500, "302": 500,
	} {
		s.refused(status, "ODD", http.MethodPost, "/things/fail", `{"code":"ODD","status":`+said+`}`)
	}
}

func TestPanicsAndUnknownErrorsAreHidden(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for _, path := range []string{"/things/panic", "/things/break"} {
		a := s.refused(500, "INTERNAL", http.MethodPost, path, "")
		assert.NotContains(t, a.body, "secret")
		assert.NotContains(t, a.body, ".go")
		for name, values := range a.header {
			assert.NotContains(t, strings.Join(values, " "), "secret", name)
		}
	}
	s.got(`3`, http.MethodGet, "/things/count", "")
}

func TestRequestIDs(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for _, sane := range []string{"mine", "a-b_c.d:e/f+g=h@i", strings.Repeat("x", 128), "0"} {
		a := s.got(`3`, http.MethodGet, "/things/count", "", "X-Request-Id: "+sane)
		assert.Equal(t, sane, a.header.Get("X-Request-Id"))
		// Errors of a service and of the gateway have both IDs.
		for _, a := range []*answer{
			s.refused(500, "INTERNAL", http.MethodPost, "/things/break", "", "X-Request-Id: "+sane),
			s.refused(504, "TIMEOUT", http.MethodGet, "/things/stall/safely", "", "X-Request-Id: "+sane),
			s.refused(400, "BAD_REQUEST", http.MethodGet, "/things/abc", "", "X-Request-Id: "+sane),
		} {
			assert.Equal(t, sane, a.Error.RequestID)
			id, err := uuid.Parse(a.Error.CorrelationID)
			require.NoError(t, err, a.body)
			assert.EqualValues(t, 7, id.Version())
		}
		for _, path := range []string{"/nothing", "/healthz", "/readyz"} {
			assert.Equal(t, sane, s.do(http.MethodGet, path, "", "X-Request-Id: "+sane).header.Get("X-Request-Id"))
		}
	}
	for _, insane := range []string{"", "two words", `quo"ted`, "new\tline", `back\slash`, "<b>", "ä", strings.Repeat("x", 129), strings.Repeat("x", 200), "{}", "a,b", "$(x)"} {
		a := s.refused(500, "INTERNAL", http.MethodPost, "/things/break", "", "X-Request-Id: "+insane)
		id, err := uuid.Parse(a.header.Get("X-Request-Id"))
		require.NoError(t, err, insane)
		assert.EqualValues(t, 7, id.Version())
		assert.Empty(t, a.Error.CorrelationID, "there is only one")
	}
}

// info is the request data that the handler of INFO returns.
type info struct {
	RequestID, CallerRequestID, TraceParent string
}

func (a *answer) info(t *testing.T) info {
	t.Helper()
	var i info
	require.NoError(t, json.Unmarshal(a.Result, &i), a.body)
	return i
}

func TestRequestMetadataReachesTheHandler(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	i := s.do(http.MethodGet, "/things/info", "", "Traceparent: "+trace, "X-Request-Id: mine").info(t)
	assert.Equal(t, trace, i.TraceParent)
	assert.Equal(t, "mine", i.CallerRequestID)
	id, err := uuid.Parse(i.RequestID)
	require.NoError(t, err)
	assert.EqualValues(t, 7, id.Version())

	a := s.do(http.MethodGet, "/things/info", "")
	assert.Equal(t, a.header.Get("X-Request-Id"), a.info(t).RequestID, "without an ID of the caller's there is one ID")
	assert.Empty(t, a.info(t).TraceParent)
	for _, insane := range []string{
		"00", strings.ToUpper(trace), trace + `","principal":"root`, "ff" + trace[2:], strings.ReplaceAll(trace, "-", "_"),
		trace + "x", strings.Repeat("0", 55),
	} {
		assert.Empty(t, s.do(http.MethodGet, "/things/info", "", "Traceparent: "+insane).info(t).TraceParent, insane)
	}
}

func TestServerTimingAndWorker(t *testing.T) {
	t.Parallel()
	timing := regexp.MustCompile(`^queue;dur=\d+(\.\d+)?, run;dur=\d+(\.\d+)?, reply;dur=\d+(\.\d+)?$`)
	s := newStage(t)
	for _, a := range []*answer{
		s.do(http.MethodGet, "/things/count", ""),
		s.do(http.MethodPost, "/things/5/touch", ""),
		s.do(http.MethodPost, "/things/break", ""),
	} {
		assert.Regexp(t, timing, a.header.Get("Server-Timing"))
		assert.Regexp(t, `^things\.[a-z0-9]+$`, a.header.Get("Mailroom-Worker"))
		assert.Empty(t, a.header.Get("Mailroom-Attempt"), "it was the first")
	}
}

// Redis counts the deliveries.
func TestAttemptHeaderStartsAtTheSecondDelivery(t *testing.T) {
	t.Parallel()
	s := startGateway(t, testsupport.StartRedis(t).URL(), "")
	s.work(s.things())
	s.awaitRoute("/things/count")
	a := s.got(`2`, http.MethodPost, "/things/retry", "")
	assert.Equal(t, "2", a.header.Get("Mailroom-Attempt"))
}

func TestWorkerCanBeHidden(t *testing.T) {
	t.Parallel()
	s := startGateway(t, testsupport.StartRedis(t).URL(), "", func(c *api.Config) { c.HideWorker = true })
	s.work(s.things())
	s.awaitRoute("/things/count")
	a := s.got(`2`, http.MethodPost, "/things/retry", "")
	assert.NotContains(t, a.header, "Mailroom-Worker")
	assert.NotContains(t, a.header, "Mailroom-Attempt")
	assert.NotEmpty(t, a.header.Get("Server-Timing"))
}

func TestTimeoutsHaveTheLocationOfTheOutcome(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	a := s.refused(504, "TIMEOUT", http.MethodPost, "/things/stall", "")
	service, id, _ := strings.Cut(strings.TrimPrefix(a.header.Get("Location"), "/requests/"), ".")
	assert.Equal(t, "things", service)
	assert.Equal(t, a.header.Get("X-Request-Id"), id)
	assert.Equal(t, "STALL", a.Error.Action)

	// The worker may report the timeout a moment before the gateway does.
	a = s.refused(504, "SLOW", http.MethodPost, "/things/fail", `{"code":"SLOW","status":504}`)
	assert.Equal(t, "/requests/things."+a.header.Get("X-Request-Id"), a.header.Get("Location"))

	a = s.refused(504, "TIMEOUT", http.MethodGet, "/things/stall/safely", "")
	assert.NotContains(t, a.header, "Location")
}
