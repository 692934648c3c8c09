package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/oskadev/mailroom/bench"
	"github.com/oskadev/mailroom/bus"
)

type benchCommand struct {
	commonFlags
	redisFlags
	URL         string        `arg:"" optional:"" help:"What to ask a running gateway for, such as http://127.0.0.1:8080/echo/1."`
	Method      string        `help:"HTTP method. GET unless given, or POST with --body."`
	Body        string        `help:"Body of each request, JSON."`
	Header      []string      `sep:"none" placeholder:"NAME: VALUE" help:"A header of each request. May be given more than once."`
	Service     string        `help:"Ask this service straight on the bus, without a gateway."`
	Action      string        `help:"What to ask the service for, such as GET_ECHO."`
	Arg         []string      `sep:"none" help:"An argument of the action, JSON or a bare string. May be given more than once."`
	Connections int           `default:"64" help:"Requests under way at once; without --rate each connection asks again as soon as it is answered."`
	Rate        float64       `help:"Requests a second that begin on a fixed schedule; latencies count from the intended start, so that a stall shows."`
	Duration    time.Duration `default:"10s" help:"How long to measure."`
	Warmup      time.Duration `default:"2s" help:"How long to ask before that without counting."`
	Timeout     time.Duration `help:"How long to wait for an answer. 10s over HTTP, the action's own timeout on the bus, unless given."`
	JSON        bool          `name:"json" help:"Print the result as JSON."`
}

// Run puts the load on, tells how it goes, and prints what was measured.
func (c *benchCommand) Run(ctx context.Context, p *program) error {
	if err := c.check(); err != nil {
		return &exitError{code: exitUsage, err: err}
	}
	if c.Service != "" {
		return c.onBus(ctx, p)
	}
	target, err := bench.NewHTTP(bench.HTTPRequest{
		URL: c.URL, Method: c.Method, Headers: c.Header, Body: c.Body, Timeout: c.Timeout,
	})
	if err != nil {
		return &exitError{code: exitUsage, err: err}
	}
	return c.measure(ctx, p, target)
}

// check names everything that is wrong with the flags.
func (c *benchCommand) check() error {
	var errs []error
	wrong := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	wrong(c.URL == "" && c.Service == "", "nothing to ask: give a URL, or --service and --action")
	wrong(c.URL != "" && c.Service != "", "a URL and --service exclude each other")
	wrong(c.Service != "" && c.Action == "", "--service wants an --action")
	wrong(c.Service == "" && c.Action != "", "--action wants a --service")
	wrong(c.Service == "" && len(c.Arg) > 0, "--arg wants a --service")
	wrong(c.Service != "" && c.Method != "", "--method is for a URL, not for --service")
	wrong(c.Service != "" && c.Body != "", "--body is for a URL; --service takes --arg")
	wrong(c.Service != "" && len(c.Header) > 0, "--header is for a URL, not for --service")
	wrong(c.Connections < 1 || c.Connections > 10_000, "--connections %d is not between 1 and 10000", c.Connections)
	wrong(!(c.Rate >= 0 && c.Rate <= 1e6), "--rate %v is not between 0 and 1000000", c.Rate)
	wrong(c.Duration <= 0 || c.Duration > 24*time.Hour, "--duration %v is not between 0 and 24h", c.Duration)
	wrong(c.Warmup < 0 || c.Warmup > 24*time.Hour, "--warmup %v is not between 0 and 24h", c.Warmup)
	wrong(c.Timeout < 0, "--timeout %v is negative", c.Timeout)
	return errors.Join(errs...)
}

// onBus asks the service as a gateway would.
func (c *benchCommand) onBus(ctx context.Context, p *program) error {
	conn, err := c.connect(&c.redisFlags, bus.RoleAPI, c.logger(p))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	undelivered := func(err error) error { return &exitError{code: exitUndelivered, err: err} }
	if err := conn.Ping(ctx); err != nil {
		return undelivered(err)
	}
	call := callCommand{Timeout: c.Timeout, Service: c.Service, Action: c.Action, Arg: c.Arg}
	ask, err := call.ask(ctx, conn)
	if err != nil {
		return undelivered(err)
	}
	client := bus.NewClient(conn, bus.ClientConfig{}) //nolint:contextcheck // it lives until it is closed
	defer client.Close()
	if err := client.WaitReady(ctx); err != nil {
		return undelivered(err)
	}
	return c.measure(ctx, p, bench.NewBus(client, *ask))
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
