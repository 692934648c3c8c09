package otlp

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/oskadev/mailroom/internal/backoff"
)

// client sends spans to a collector. It implements otlptrace.Client.
type client struct {
	settings *settings
	http     *http.Client
}

func newClient(s *settings) *client {
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // it is one
	if s.tls != nil {
		transport.TLSClientConfig = s.tls
	}
	return &client{settings: s, http: &http.Client{
		Transport: transport,
		// A redirect would send headers with secrets elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Start does nothing: the first export connects.
func (c *client) Start(context.Context) error { return nil }

// Stop closes the connections.
func (c *client) Stop(context.Context) error {
	c.http.CloseIdleConnections()
	return nil
}

// Waits between two tries of an export.
const firstWait, maxWait = 200 * time.Millisecond, 5 * time.Second

// UploadTraces sends spans. It tries again, within the timeout, where the collector is not
// reachable or asks for it.
func (c *client) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	// The request message of OTLP has the same bytes, and belongs to a package with gRPC.
	body, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: spans})
	if err != nil {
		return fmt.Errorf("encode the spans: %w", err)
	}
	if c.settings.gzip {
		if body, err = compress(body); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, c.settings.timeout)
	defer cancel()
	waits := backoff.New(firstWait, maxWait)
	for {
		again, err := c.send(ctx, body)
		if err == nil || again < 0 {
			return err
		}
		if backoff.Pause(ctx, max(again, waits.Next())) != nil {
			return err
		}
	}
}

func compress(body []byte) ([]byte, error) {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, err := w.Write(body)
	err = errors.Join(err, w.Close())
	return packed.Bytes(), err
}

// maxAnswer is how much of an answer is read, so that its connection can be used again.
const maxAnswer = 64 << 10

// send makes one try. again is the time after which another one may succeed; negative:
// none will.
func (c *client) send(ctx context.Context, body []byte) (again time.Duration, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.settings.url, bytes.NewReader(body))
	if err != nil {
		return -1, err
	}
	request.Header = c.settings.headers.Clone()
	request.Header.Set("Content-Type", "application/x-protobuf")
	if c.settings.gzip {
		request.Header.Set("Content-Encoding", "gzip")
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return 0, err
	}
	defer func() { _ = answer.Body.Close() }()
	_, _ = io.CopyN(io.Discard, answer.Body, maxAnswer)
	if answer.StatusCode >= http.StatusOK && answer.StatusCode < http.StatusMultipleChoices {
		return 0, nil
	}
	err = fmt.Errorf("the collector at %s answered %s", request.URL.Redacted(), answer.Status)
	switch answer.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		seconds, _ := strconv.Atoi(answer.Header.Get("Retry-After"))
		return time.Duration(min(max(seconds, 0), 3600)) * time.Second, err
	default:
		return -1, err
	}
}
