package api_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/api"
)

// rawConn is a connection that sends any bytes.
type rawConn struct {
	net.Conn
	t *testing.T
	r *bufio.Reader
}

func (s *stage) dial(t *testing.T) *rawConn {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(s.ctx, "tcp", s.addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	return &rawConn{Conn: conn, t: t, r: bufio.NewReader(conn)}
}

func (w *rawConn) say(text string) {
	w.t.Helper()
	// The gateway may answer and close before it has read all.
	_, _ = io.WriteString(w, text)
}

// hear reads one answer.
func (w *rawConn) hear(method string) *answer {
	w.t.Helper()
	response, err := http.ReadResponse(w.r, &http.Request{Method: method})
	require.NoError(w.t, err)
	defer func() { _ = response.Body.Close() }()
	a, err := read(response)
	require.NoError(w.t, err)
	check(w.t, method, a)
	return a
}

// closed checks that the connection ends without another answer.
func (w *rawConn) closed() {
	w.t.Helper()
	rest, _ := io.ReadAll(w.r) // a reset is as good as an end
	require.Empty(w.t, string(rest), "another answer")
}

const (
	smuggled = "POST /things/panic HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
	fits     = `{"name":"a","size":1}`
)

// Two parties could read each of these messages differently. The connection ends, so that
// the rest is not read as a request.
func TestHostileRequestsRunNothing(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	t.Cleanup(s.untouched)
	chunked := "15\r\n" + fits + "\r\n0\r\n\r\n"
	post := func(headers, body string) string {
		return "POST /things HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + headers + "\r\n" + body
	}
	for name, text := range map[string]string{
		"content-length and chunked":     post("Content-Length: 31\r\nTransfer-Encoding: chunked\r\n", chunked),
		"chunked and content-length":     post("Transfer-Encoding: chunked\r\nContent-Length: 31\r\n", chunked),
		"in other letters":               post("cOnTeNt-LeNgTh: 31\r\ntRANSFER-eNCODING: cHUNKED\r\n", chunked),
		"content-length 0 and chunked":   post("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", chunked),
		"two different lengths":          post("Content-Length: 21\r\nContent-Length: 0\r\n", fits),
		"the same length twice":          post("Content-Length: 21\r\nContent-Length: 21\r\n", fits),
		"a list of lengths":              post("Content-Length: 21, 21\r\n", fits),
		"a negative length":              post("Content-Length: -1\r\n", fits),
		"a length with a plus":           post("Content-Length: +21\r\n", fits),
		"a hexadecimal length":           post("Content-Length: 0x15\r\n", fits),
		"a length of nothing":            post("Content-Length: \r\n", fits),
		"a huge length":                  post("Content-Length: 99999999999999999999\r\n", fits),
		"unknown transfer encoding":      post("Transfer-Encoding: xchunked\r\n", chunked),
		"gzip, chunked":                  post("Transfer-Encoding: gzip, chunked\r\n", chunked),
		"chunked, identity":              post("Transfer-Encoding: chunked, identity\r\n", chunked),
		"chunked twice":                  post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", chunked),
		"identity with a length":         post("Transfer-Encoding: identity\r\nContent-Length: 21\r\n", fits),
		"identity alone":                 post("Transfer-Encoding: identity\r\n", ""),
		"Identity with spaces":           post("transfer-encoding: \t Identity \r\n", ""),
		"no coding":                      post("Transfer-Encoding:\r\n", ""),
		"identity under HTTP/1.0":        "POST /things HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\nTransfer-Encoding: identity\r\n\r\n",
		"chunks under HTTP/1.0":          "POST /things HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked,
		"bare line feed in an extension": post("Transfer-Encoding: chunked\r\n", "15;a\n"+fits+"\r\n0\r\n\r\n"),
		"bare line feed after a size":    post("Transfer-Encoding: chunked\r\n", "15\n"+fits+"\r\n0\r\n\r\n"),
		"a signed chunk size":            post("Transfer-Encoding: chunked\r\n", "+15\r\n"+fits+"\r\n0\r\n\r\n"),
		"a chunk that goes on":           post("Transfer-Encoding: chunked\r\n", "15\r\n"+fits+"x\r\n0\r\n\r\n"),
		"space before the colon":         post("Content-Length : 21\r\n", fits),
		"a header without a name":        post(": 21\r\nContent-Length: 21\r\n", fits),
		"a header without a colon":       post("Nonsense\r\nContent-Length: 21\r\n", fits),
		"a folded header":                post("X-A: 1\r\n  2\r\nContent-Length: 21\r\n", fits),
		"a folded length":                post("Content-Length:\r\n 21\r\n", fits),
		"a null in a header":             post("X-A: \x00\r\nContent-Length: 21\r\n", fits),
		"a bare return in a header":      post("X-A: 1\rContent-Length: 0\r\nContent-Length: 21\r\n", fits),
		"no host":                        "GET /things/count HTTP/1.1\r\n\r\n",
		"an empty host":                  "GET /things/count HTTP/1.1\r\nHost: \r\n\r\n",
		"two hosts":                      "GET /things/count HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
		"an unknown method":              "BREW /things/count HTTP/1.1\r\nHost: x\r\n\r\n",
		"a method in small letters":      "get /things/count HTTP/1.1\r\nHost: x\r\n\r\n",
		"CONNECT":                        "CONNECT things:443 HTTP/1.1\r\nHost: things:443\r\n\r\n",
		"CONNECT a path":                 "CONNECT /things/count HTTP/1.1\r\nHost: x\r\n\r\n",
		"TRACE":                          "TRACE /things/count HTTP/1.1\r\nHost: x\r\n\r\n",
		"a space in the path":            "GET /things/co unt HTTP/1.1\r\nHost: x\r\n\r\n",
		"a null in the path":             "GET /things/named/\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
		"no version":                     "GET /things/count\r\nHost: x\r\n\r\n",
		"version 2.0":                    "GET /things/count HTTP/2.0\r\nHost: x\r\n\r\n",
		"version 1.9":                    "GET /things/count HTTP/1.9x\r\nHost: x\r\n\r\n",
		"another protocol":               "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
		"preface of HTTP/2":              "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := s.dial(t)
			w.say(text + smuggled)
			a := w.hear(http.MethodPost)
			assert.GreaterOrEqual(t, a.status, 400, a.body)
			assert.Less(t, a.status, 500, a.body)
			assert.True(t, a.close, "it has to say that the connection ends")
			w.closed()
		})
	}
}

func TestHonestRequestsOnTheWire(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	w := s.dial(t)
	w.say("GET http://other.example/things/count HTTP/1.1\r\nHost: other.example\r\n\r\n")
	assert.Equal(t, http.StatusOK, w.hear(http.MethodGet).status, "absolute form")
	w.say("POST /things HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" +
		"5\r\n" + fits[:5] + "\r\n10;a=b\r\n" + fits[5:] + "\r\n0\r\nX-Trailer: 1\r\n\r\n")
	assert.Equal(t, http.StatusCreated, w.hear(http.MethodPost).status, "chunked, with an extension and a trailer")
	w.say(strings.Repeat("GET /things/count HTTP/1.1\r\nHost: x\r\n\r\n", 3))
	for range 3 {
		assert.Equal(t, http.StatusOK, w.hear(http.MethodGet).status, "pipelined")
	}
	w.say("HEAD /things/count HTTP/1.1\r\nHost: x\r\n\r\nGET /things/5 HTTP/1.1\r\nHost: x\r\n\r\n")
	assert.Equal(t, http.StatusOK, w.hear(http.MethodHead).status)
	assert.Equal(t, `{"id":5}`, string(w.hear(http.MethodGet).Result), "no body behind HEAD's headers")
	w.say("OPTIONS /things HTTP/1.1\r\nHost: x\r\n\r\nGET /things/6 HTTP/1.1\r\nHost: x\r\n\r\n")
	assert.Equal(t, http.StatusNoContent, w.hear(http.MethodOptions).status)
	assert.Equal(t, `{"id":6}`, string(w.hear(http.MethodGet).Result))
	w.say("GET /things/count HTTP/1.0\r\n\r\n")
	assert.Equal(t, http.StatusOK, w.hear(http.MethodGet).status, "1.0 needs no host")
	w.closed()
}

func TestLargeBodiesAreRefusedBeforeTheyAreRead(t *testing.T) {
	t.Parallel()
	s := newStage(t, func(c *api.Config) { c.BodyLimit = 1000 })
	const post = "POST /things HTTP/1.1\r\nHost: x\r\nX-Request-Id: mine\r\nContent-Type: application/json\r\n"
	for _, header := range []string{"", "Expect: 100-continue\r\n"} {
		w := s.dial(t)
		w.say(post + header + "Content-Length: 1001\r\n\r\n") // and nothing more
		a := w.hear(http.MethodPost)
		assert.Equal(t, http.StatusRequestEntityTooLarge, a.status)
		assert.Equal(t, "PAYLOAD_TOO_LARGE", a.Error.Code)
		assert.Equal(t, "mine", a.Error.RequestID)
		assert.Contains(t, a.Error.Message, "1000")
		w.closed()
	}
	w := s.dial(t)
	w.say(post + "Transfer-Encoding: chunked\r\n\r\n")
	for range 11 {
		w.say("64\r\n" + strings.Repeat(" ", 100) + "\r\n")
	}
	a := w.hear(http.MethodPost)
	assert.Equal(t, http.StatusRequestEntityTooLarge, a.status, a.body)
	w.closed()

	w = s.dial(t)
	w.say(post + "Transfer-Encoding: chunked\r\n\r\nffffffff\r\n")
	assert.Equal(t, http.StatusRequestEntityTooLarge, w.hear(http.MethodPost).status, "one chunk that would be too large")
	s.untouched()

	body := fits + strings.Repeat(" ", 1000-len(fits))
	assert.Equal(t, http.StatusCreated, s.do(http.MethodPost, "/things", body).status, "the limit itself")
	s.refused(413, "PAYLOAD_TOO_LARGE", http.MethodPost, "/things", body+" ")
}

func TestContinueIsSentForABodyThatFits(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	w := s.dial(t)
	w.say("POST /things HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: " +
		strconv.Itoa(len(fits)) + "\r\n\r\n")
	line, err := w.r.ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, "HTTP/1.1 100 Continue\r\n", line)
	_, err = w.r.ReadString('\n')
	require.NoError(t, err)
	w.say(fits)
	assert.Equal(t, http.StatusCreated, w.hear(http.MethodPost).status)
}

func TestHeadersHaveALimit(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.got(`3`, http.MethodGet, "/things/count", "", "X-Long: "+strings.Repeat("x", 10_000))
	s.got(`3`, http.MethodGet, "/things/count?x="+strings.Repeat("x", 10_000), "")
	for _, head := range []string{
		"GET /things/count HTTP/1.1\r\nHost: x\r\nX-Request-Id: mine\r\nX-Long: " + strings.Repeat("x", 33<<10),
		"GET /things/count?" + strings.Repeat("x", 33<<10),
	} {
		w := s.dial(t)
		w.say(head)
		a := w.hear(http.MethodGet)
		assert.Equal(t, http.StatusRequestHeaderFieldsTooLarge, a.status)
		assert.Equal(t, "HEADERS_TOO_LARGE", a.Error.Code)
		assert.Contains(t, a.Error.Message, "32768")
		w.closed()
	}
	w := s.dial(t)
	w.say("GET /things/count HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X-A: 1\r\n", 5000) + "\r\n")
	assert.Equal(t, http.StatusRequestHeaderFieldsTooLarge, w.hear(http.MethodGet).status, "many short ones")
	s.runs.Store(0)
	s.untouched()
}

func TestSlowClientsAreCutOff(t *testing.T) {
	t.Parallel()
	const limit = 300 * time.Millisecond
	s := newStage(t, func(c *api.Config) { c.ReadTimeout = limit })
	for name, half := range map[string]string{
		"nothing":       "",
		"half a line":   "GET /thin",
		"half a header": "GET /things/count HTTP/1.1\r\nHost: x\r\nX-Sl",
		"half a body":   "POST /things HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 21\r\n\r\n{\"na",
		"half a chunk":  "POST /things HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n15\r\n{\"na",
	} {
		began := time.Now()
		w := s.dial(t)
		w.say(half)
		a := w.hear(http.MethodPost)
		assert.Equal(t, http.StatusRequestTimeout, a.status, name)
		assert.Equal(t, "REQUEST_TIMEOUT", a.Error.Code, name)
		w.closed()
		assert.Less(t, time.Since(began), 10*time.Second, name)
	}
	s.untouched()
}
