package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/oskadev/mailroom/bench"
	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/wire"
)

type benchCommand struct {
	commonFlags
	redisFlags
	URL         string        `arg:"" optional:"" help:"URL to request, such as http://127.0.0.1:8080/echo/1; or with --service a WebSocket, such as ws://127.0.0.1:8080/socket."`
	Method      string        `help:"HTTP method (default: GET, or POST with --body)."`
	Body        string        `help:"JSON body of each request."`
	Header      []string      `sep:"none" placeholder:"NAME: VALUE" help:"Header of each request; can be repeated."`
	Keys        string        `placeholder:"FILE" help:"File with API keys, one a line; the requests have them in turn."`
	Service     string        `help:"Service to call, on the bus without a gateway or over one WebSocket."`
	Action      string        `help:"Action of --service, such as GET_ECHO."`
	Arg         []string      `sep:"none" help:"Argument of --action, JSON or a bare string; can be repeated."`
	Connections int           `default:"64" help:"Requests in flight at once; without --rate, each connection sends the next one after a reply."`
	Rate        float64       `help:"Requests per second on a fixed schedule; latencies count from the scheduled start."`
	Duration    time.Duration `default:"10s" help:"Time to measure."`
	Warmup      time.Duration `default:"2s" help:"Time to send requests before that, without counting them."`
	Timeout     time.Duration `help:"Time to wait for a reply (default: 10s over HTTP, the timeout of the action on the bus)."`
	JSON        bool          `name:"json" help:"Print the result as JSON."`
}

// Run sends the load, prints the progress to stderr and the result to stdout.
func (c *benchCommand) Run(ctx context.Context, p *program) error {
	if err := c.check(); err != nil {
		return usage(err)
	}
	switch {
	case c.onSocket():
		return c.overSocket(ctx, p)
	case c.Service != "":
		return c.onBus(ctx, p)
	}
	keys, err := c.keys()
	if err != nil {
		return usage(err)
	}
	target, err := bench.NewHTTP(bench.HTTPRequest{
		URL: c.URL, Method: c.Method, Headers: c.Header, Body: c.Body, Keys: keys, Timeout: c.Timeout,
	})
	if err != nil {
		return usage(err)
	}
	return c.measure(ctx, p, target)
}

// keys reads the file of --keys.
func (c *benchCommand) keys() ([]string, error) {
	if c.Keys == "" {
		return nil, nil
	}
	text, err := os.ReadFile(c.Keys)
	if err != nil {
		return nil, fmt.Errorf("--keys: %w", err)
	}
	keys := strings.Fields(string(text))
	if len(keys) == 0 {
		return nil, fmt.Errorf("--keys: %s has no key", c.Keys)
	}
	return keys, nil
}

// check returns all faults of the flags.
func (c *benchCommand) check() error {
	var errs []error
	wrong := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	wrong(c.URL == "" && c.Service == "", "no target: give a URL, or --service and --action")
	wrong(c.URL != "" && c.Service != "" && !c.onSocket(), "a URL and --service exclude each other, unless the URL is ws:// or wss://")
	wrong(c.onSocket() && c.Service == "", "a ws:// URL needs --service and --action")
	wrong(c.Service != "" && c.Action == "", "--service needs --action")
	wrong(c.Service == "" && c.Action != "", "--action needs --service")
	wrong(c.Service == "" && len(c.Arg) > 0, "--arg needs --service")
	wrong(c.Service != "" && c.Keys != "", "--keys is for a URL, not for --service")
	wrong(c.Service != "" && c.Method != "", "--method is for a URL, not for --service")
	wrong(c.Service != "" && c.Body != "", "--body is for a URL: give --arg with --service")
	wrong(c.Service != "" && len(c.Header) > 0 && !c.onSocket(), "--header is for a URL, not for --service")
	wrong(c.Connections < 1 || c.Connections > 10_000, "--connections %d is not between 1 and 10000", c.Connections)
	wrong(!(c.Rate >= 0 && c.Rate <= 1e6), "--rate %v is not between 0 and 1000000", c.Rate)
	wrong(c.Duration <= 0 || c.Duration > 24*time.Hour, "--duration %v is not between 0 and 24h", c.Duration)
	wrong(c.Warmup < 0 || c.Warmup > 24*time.Hour, "--warmup %v is not between 0 and 24h", c.Warmup)
	wrong(c.Timeout < 0, "--timeout %v is negative", c.Timeout)
	return errors.Join(errs...)
}

// onSocket reports whether the load goes over one WebSocket.
func (c *benchCommand) onSocket() bool {
	return strings.HasPrefix(c.URL, "ws://") || strings.HasPrefix(c.URL, "wss://")
}

// overSocket calls the service over one WebSocket.
func (c *benchCommand) overSocket(ctx context.Context, p *program) error {
	target, closeSocket, err := bench.NewSocket(ctx, bench.SocketRequest{
		URL: c.URL, Headers: c.Header, Service: c.Service, Action: c.Action, Args: jsonArray(c.Arg), Timeout: c.Timeout,
	})
	if err != nil {
		return undelivered(err)
	}
	defer closeSocket()
	return c.measure(ctx, p, target)
}

// onBus calls the service as a gateway does.
func (c *benchCommand) onBus(ctx context.Context, p *program) error {
	conn, err := c.connect(&c.redisFlags, wire.RoleAPI, c.logger(p))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.Ping(ctx); err != nil {
		return undelivered(err)
	}
	call := callCommand{Timeout: c.Timeout, Service: c.Service, Action: c.Action, Arg: c.Arg}
	_, request, err := call.request(ctx, conn)
	if err != nil {
		return undelivered(err)
	}
	direct := request.Call
	if request.Declared != nil {
		direct = caller.NewCall(request.Declared, c.Service, request.Args)
	}
	if c.Timeout != 0 {
		direct.Timeout = c.Timeout
	}
	client := caller.New(conn, caller.Config{}) //nolint:contextcheck // lives until Close
	defer client.Close()
	if err := client.WaitReady(ctx); err != nil {
		return undelivered(err)
	}
	return c.measure(ctx, p, bench.NewBus(client, direct))
}

func (c *benchCommand) measure(ctx context.Context, p *program, target bench.Target) error {
	load := bench.Load{
		Connections: c.Connections, Rate: c.Rate, Duration: c.Duration, Warmup: c.Warmup,
		Progress: func(now bench.Progress) { fmt.Fprintln(p.stderr, now) },
	}
	result := load.Run(ctx, target)
	if err := c.print(p, result); err != nil {
		return err
	}
	if result.Answered() > 0 || result.Interrupted {
		return nil
	}
	if len(result.Failures) == 0 {
		return errors.New("no request was answered")
	}
	return fmt.Errorf("every request failed: %s", result.Failures[0].Kind)
}

func (c *benchCommand) print(p *program, result *bench.Result) error {
	if !c.JSON {
		return result.Write(p.stdout)
	}
	encoder := json.NewEncoder(p.stdout)
	encoder.SetIndent("", "  ")
	return encoder.Encode(result)
}
