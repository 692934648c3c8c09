package bench

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// DefaultTimeout is the default of HTTPRequest.Timeout.
const DefaultTimeout = 10 * time.Second

// maxBody limits the size of one answer, in bytes.
const maxBody = 64 << 20

// HTTPRequest is the request that is sent to a gateway again and again.
type HTTPRequest struct {
	// URL is the URL, http:// or https://. Required.
	URL string
	// Method is the HTTP method. Defaults to GET, or to POST if there is a Body.
	Method string
	// Headers are the headers, each as "Name: value". Defaults to none.
	Headers []string
	// Body is sent as application/json, unless Headers has another Content-Type.
	// Defaults to none.
	Body string
	// Keys are API keys. The requests have them in turn, in the header X-API-Key. Defaults to
	// none.
	Keys []string
	// Timeout limits the time to an answer. Defaults to 10 s.
	Timeout time.Duration
}

// httpTarget sends the same bytes again and again, so that the load takes little CPU time.
type httpTarget struct {
	name     string
	address  string
	tls      *tls.Config // nil: plain
	requests [][]byte    // one for each key, or one
	sent     atomic.Uint64
	head     bool
	timeout  time.Duration
}

// NewHTTP returns a Target that sends the request over HTTP. Each Connection has its own
// TCP connection. The error names the faulty part of the request.
func NewHTTP(r HTTPRequest) (Target, error) {
	u, err := url.Parse(r.URL)
	switch {
	case err == nil && u.User != nil:
		return nil, errors.New("URL: put credentials into --header")
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return nil, fmt.Errorf("URL %q: want http://HOST:PORT/PATH", r.URL)
	}
	t := &httpTarget{timeout: r.Timeout}
	if t.timeout == 0 {
		t.timeout = DefaultTimeout
	}
	port := u.Port()
	if u.Scheme == "https" {
		t.tls = &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12}
	}
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	t.address = net.JoinHostPort(u.Hostname(), port)
	if r.Method == "" {
		r.Method = http.MethodGet
		if r.Body != "" {
			r.Method = http.MethodPost
		}
	}
	if !isToken(r.Method) {
		return nil, fmt.Errorf("--method %q is not an HTTP method", r.Method)
	}
	t.head = r.Method == http.MethodHead
	t.name = r.Method + " " + u.Redacted()
	for i := range max(1, len(r.Keys)) {
		one := r
		if len(r.Keys) > 0 {
			one.Headers = append(slices.Clone(r.Headers), "X-API-Key: "+r.Keys[i])
		}
		request, err := render(one)
		if err != nil {
			return nil, err
		}
		t.requests = append(t.requests, request)
	}
	return t, nil
}

// next returns the bytes of the next request.
func (t *httpTarget) next() []byte {
	if len(t.requests) == 1 {
		return t.requests[0]
	}
	return t.requests[t.sent.Add(1)%uint64(len(t.requests))]
}

// render returns the bytes of the request.
func render(r HTTPRequest) ([]byte, error) {
	request := fasthttp.AcquireRequest()
	defer fasthttp.ReleaseRequest(request)
	request.SetRequestURI(r.URL)
	request.Header.SetMethod(r.Method)
	request.Header.SetUserAgent("mailroom-bench")
	if r.Body != "" {
		request.Header.SetContentType("application/json")
		request.SetBodyString(r.Body)
	}
	for _, header := range r.Headers {
		name, value, ok := strings.Cut(header, ":")
		value = strings.TrimSpace(value)
		if !ok || !isToken(name) || strings.ContainsAny(value, "\r\n\x00") {
			return nil, fmt.Errorf("--header %q: want Name: value", name) // not the value: it may be a secret
		}
		request.Header.Set(name, value)
	}
	var b bytes.Buffer
	w := bufio.NewWriter(&b)
	if err := request.Write(w); err != nil {
		return nil, fmt.Errorf("write the request: %w", err)
	}
	if err := w.Flush(); err != nil {
		return nil, fmt.Errorf("write the request: %w", err)
	}
	return b.Bytes(), nil
}

// isToken reports whether a text can be a method or the name of a header
// (https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2).
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i] | 0x20
		if (c < 'a' || c > 'z') && (s[i] < '0' || s[i] > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(s[i])) {
			return false
		}
	}
	return s != ""
}

func (t *httpTarget) String() string { return t.name }

// Connect returns a connection that dials at its first request.
func (t *httpTarget) Connect() Connection {
	c := &httpConnection{target: t}
	c.response.SkipBody = t.head
	return c
}

// httpConnection is one TCP connection. It is opened at the first request, and again
// after an error.
type httpConnection struct {
	target   *httpTarget
	conn     net.Conn // nil: not connected
	unwatch  func() bool
	reader   *bufio.Reader
	response fasthttp.Response
}

// Do writes the request and reads its answer.
func (c *httpConnection) Do(ctx context.Context) Answer {
	if err := c.dial(ctx); err != nil {
		return Answer{Failure: "not connected", Detail: err.Error(), Unreached: true}
	}
	err := c.conn.SetDeadline(time.Now().Add(c.target.timeout))
	if err == nil {
		_, err = c.conn.Write(c.target.next())
	}
	if err == nil {
		err = c.response.ReadLimitBody(c.reader, maxBody)
	}
	if err != nil {
		c.Close()
		if errors.Is(err, fasthttp.ErrTimeout) || errors.Is(err, os.ErrDeadlineExceeded) {
			return Answer{Failure: "timeout", Detail: fmt.Sprintf("no answer within %v", c.target.timeout)}
		}
		return Answer{Failure: "connection lost", Detail: err.Error()}
	}
	body := c.response.Body()
	answer := Answer{Bytes: len(body)}
	if status := c.response.StatusCode(); status >= http.StatusBadRequest {
		answer.Failure = fmt.Sprintf("status %d", status)
		answer.Detail = shorten(body)
	}
	if c.response.ConnectionClose() {
		c.Close()
	}
	return answer
}

func (c *httpConnection) dial(ctx context.Context) error {
	if c.conn != nil {
		return nil
	}
	dialer := &net.Dialer{Timeout: c.target.timeout}
	conn, err := dialer.DialContext(ctx, "tcp", c.target.address)
	if err != nil {
		return err
	}
	if c.target.tls != nil {
		secured := tls.Client(conn, c.target.tls)
		handshake, cancel := context.WithTimeout(ctx, c.target.timeout)
		defer cancel()
		if err := secured.HandshakeContext(handshake); err != nil {
			_ = conn.Close()
			return err
		}
		conn = secured
	}
	c.conn = conn
	// A blocked read does not notice that the context ended, but that the connection was
	// closed.
	c.unwatch = context.AfterFunc(ctx, func() { _ = conn.Close() })
	if c.reader == nil {
		c.reader = bufio.NewReader(conn)
	} else {
		c.reader.Reset(conn)
	}
	return nil
}

// Close closes the TCP connection; the next Do dials again.
func (c *httpConnection) Close() {
	if c.conn == nil {
		return
	}
	c.unwatch()
	_ = c.conn.Close()
	c.conn = nil
}

// shorten returns the beginning of an answer, in one line.
func shorten(body []byte) string {
	const maxBytes = 200
	text := strings.ToValidUTF8(string(body[:min(len(body), maxBytes)]), "?")
	return strings.Join(strings.Fields(text), " ")
}
