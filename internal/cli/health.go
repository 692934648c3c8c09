package cli

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// healthCommand asks a process whether it is ready. Images without a shell use it as their
// health check.
type healthCommand struct {
	commonFlags
	redisFlags
	URL       string        `arg:"" optional:"" help:"URL of the process, such as http://127.0.0.1:8080; /readyz is added (default: from --listen, else from --ops-listen, else http://127.0.0.1:8080)."`
	Listen    string        `placeholder:"ADDRESS" help:"Address of the gateway to check."`
	OpsListen string        `placeholder:"ADDRESS" help:"Address of the pages for operators to check, such as those of a worker."`
	TLSCert   string        `name:"tls-cert" placeholder:"FILE" help:"Certificate of the gateway. If it is given, --listen is checked over HTTPS; the certificate is not verified."`
	Timeout   time.Duration `default:"2s" help:"Time to wait for the answer."`
}

// Run fails unless the process is ready.
func (c *healthCommand) Run(ctx context.Context, p *program) error {
	target, err := c.target()
	if err != nil {
		return usage(err)
	}
	if c.Timeout <= 0 {
		return usage(fmt.Errorf("--timeout %v is not positive", c.Timeout))
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	if err := c.ready(ctx, target.String()); err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("no answer within %v", c.Timeout)
		}
		return fmt.Errorf("not ready: %s: %w", target.Redacted(), err)
	}
	p.printf("ready\n")
	return nil
}

// target returns the URL to get.
func (c *healthCommand) target() (*url.URL, error) {
	if c.URL == "" {
		return c.own()
	}
	target, err := url.Parse(c.URL)
	if err != nil || target.Scheme != "http" && target.Scheme != "https" || target.Hostname() == "" {
		return nil, fmt.Errorf("%.100q is not a URL such as http://127.0.0.1:8080", c.URL)
	}
	return target.JoinPath("readyz"), nil
}

// own returns the URL of the process whose settings this command has too.
func (c *healthCommand) own() (*url.URL, error) {
	flag, address, scheme := "--listen", c.Listen, "http"
	switch {
	case c.Listen != "" && c.TLSCert != "":
		scheme = "https"
	case c.Listen == "" && opsAddress(c.OpsListen) != "":
		flag, address = "--ops-listen", c.OpsListen
	}
	host, port, err := net.SplitHostPort(cmp.Or(address, "127.0.0.1:8080"))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	switch host {
	case "", "0.0.0.0":
		host = "127.0.0.1"
	case "::":
		host = "::1"
	}
	return &url.URL{Scheme: scheme, Host: net.JoinHostPort(host, port), Path: "/readyz"}, nil
}

// ready returns why the process is not ready. It uses no proxy, because the process is
// usually on the same machine.
func (c *healthCommand) ready(ctx context.Context, target string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, http.NoBody)
	if err != nil {
		return err
	}
	transport := &http.Transport{
		DisableKeepAlives: true,
		//nolint:gosec // the certificate names the public host, not the address of this process; nothing secret is sent
		TLSClientConfig: &tls.Config{InsecureSkipVerify: c.URL == ""},
	}
	client := http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(request)
	if err != nil {
		if wrapped, ok := errors.AsType[*url.Error](err); ok {
			return wrapped.Err
		}
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode == http.StatusOK {
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, 4<<10))
	if err != nil {
		return err
	}
	return fmt.Errorf("status %d: %.200s", response.StatusCode, reason(text))
}

// reason returns the message of an error envelope, or the first line of another body.
func reason(body []byte) string {
	var envelope struct {
		Error struct{ Message string }
	}
	if json.Unmarshal(body, &envelope) == nil && envelope.Error.Message != "" {
		body = []byte(envelope.Error.Message)
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
	return line
}
