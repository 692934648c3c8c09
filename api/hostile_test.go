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

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/api"
	"github.com/oskadev/mailroom/testsupport/corpus"
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
	return s.raw(t, conn)
}

func (*stage) raw(t *testing.T, conn net.Conn) *rawConn {
	t.Helper()
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
	again    = "GET /things/count HTTP/1.1\r\nHost: x\r\n\r\n"
	smuggled = "POST /things/panic HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
	fits     = `{"name":"a","size":1}`
)

// Two parties could read each hostile message differently. The connection ends, so that the
// rest is not read as a request. A valid message leaves it open.
func TestMessagesOfTheCorpus(t *testing.T) {
	t.Parallel()
	hostile := newStage(t)
	honest := newStage(t)
	cases, err := corpus.Load(corpus.Target{Get: "/things/count", Post: "/things", Body: fits})
	require.NoError(t, err)
	refused := 0
	for _, c := range cases { //nolint:paralleltest // each would wait for tests of other gateways, while these two age
		s := hostile
		if c.Honest {
			s = honest
		} else {
			refused++
		}
		t.Run(c.Name, func(t *testing.T) {
			w := s.dial(t)
			if c.Honest {
				w.say(c.Bytes + again)
				a := w.hear(http.MethodPost)
				assert.Equal(t, c.Status, a.status, a.body)
				assert.Equal(t, http.StatusOK, w.hear(http.MethodGet).status, "the next request on its connection")
				return
			}
			w.say(c.Bytes + smuggled)
			a := w.hear(http.MethodPost)
			if c.Status != 0 {
				assert.Equal(t, c.Status, a.status, a.body)
			}
			assert.Equal(t, 4, a.status/100, a.body)
			assert.True(t, a.close, "it has to say that the connection ends")
			w.closed()
		})
	}
	assert.GreaterOrEqual(t, refused, 250)
	hostile.untouched()
}

// A message is read the same however its bytes are split over packets.
func TestMessagesInPieces(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	w := s.dial(t)
	for _, text := range []string{
		"GET /things/count HTTP/1.1\r\nHost: x\r\nX-A: 1\r\n\r\n",
		"POST /things HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" +
			"5\r\n" + fits[:5] + "\r\n10;a=b\r\n" + fits[5:] + "\r\n0\r\nPrefer: respond-async\r\nX-B: 1\r\n\r\n",
		"GET /things/count HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		for i := range len(text) {
			w.say(text[i : i+1])
		}
		assert.Equal(t, 2, w.hear(http.MethodPost).status/100)
	}
	w.say("POST /things HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-A")
	for i := range 10_000 {
		if _, err := w.Write([]byte("aaaaaaaa"[:1+i%8])); err != nil {
			break
		}
	}
	assert.Equal(t, http.StatusBadRequest, w.hear(http.MethodPost).status, "endless trailers")
	w.closed()
}

// A trailer comes behind the body, where no proxy looks for a header. It has no effect.
func TestTrailersAreNotHeaders(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for _, header := range []string{"", "Trailer: Prefer, X-Request-Id, Idempotency-Key\r\n", "Expect: 100-continue\r\n"} {
		w := s.dial(t)
		w.say("POST /things HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n" + header + "\r\n")
		if strings.HasPrefix(header, "Expect") {
			_, err := w.r.Discard(len("HTTP/1.1 100 Continue\r\n\r\n"))
			require.NoError(t, err)
		}
		w.say("15\r\n" + fits + "\r\n0\r\nPrefer: respond-async\r\nX-Request-Id: mine\r\nIdempotency-Key: \"\"\r\nConnection: close\r\n\r\n")
		a := w.hear(http.MethodPost)
		assert.Equal(t, http.StatusCreated, a.status, a.body)
		assert.NotEqual(t, "mine", a.header.Get("X-Request-Id"))
		assert.False(t, a.close)
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

// A request is answered although the message behind it is refused.
func TestRefusalsDoNotReachBack(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	w := s.dial(t)
	w.say(again + "POST /things HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 21\r\n\r\n" + fits +
		"GET /things/count HTTP/1.1\r\nHost: x\r\nX-A: 1\n\r\n" + again)
	assert.Equal(t, http.StatusOK, w.hear(http.MethodGet).status)
	assert.Equal(t, http.StatusCreated, w.hear(http.MethodPost).status)
	a := w.hear(http.MethodGet)
	assert.Equal(t, http.StatusBadRequest, a.status)
	assert.Equal(t, "a line that ends without CRLF", a.Error.Message)
	w.closed()
}

// Bytes behind a request for a WebSocket are frames if it becomes one, and messages like any
// others if it does not.
func TestBytesBehindAnUpgrade(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	const upgrade = " HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mailroom.v1\r\n\r\n"
	w := s.dial(t)
	w.say("GET /socket" + upgrade + string(ws.MustCompileFrame(ws.MaskFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusNormalClosure, ""))))))
	line, err := w.r.ReadString('\n')
	require.NoError(t, err)
	assert.Contains(t, line, "101")
	rest, _ := io.ReadAll(w.r)
	assert.Contains(t, string(rest), "\x88\x02\x03\xe8", "the frame that closes it was read")

	w = s.dial(t)
	w.say("GET /things/count" + upgrade + "POST /things HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n15\r\n" +
		fits + "\r\n0\r\nPrefer: respond-async\r\n\r\n" + "GET /things/count HTTP/1.1\nHost: x\r\n\r\n")
	assert.Equal(t, http.StatusOK, w.hear(http.MethodGet).status)
	assert.Equal(t, http.StatusCreated, w.hear(http.MethodPost).status, "no trailer is a header")
	assert.Equal(t, http.StatusBadRequest, w.hear(http.MethodGet).status)
	w.closed()
}
