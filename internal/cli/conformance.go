package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"time"

	"github.com/oskadev/mailroom/internal/conformance"
	"github.com/oskadev/mailroom/internal/conformance/report"
	"github.com/oskadev/mailroom/internal/conformance/suites"
)

// conformanceCommand checks a worker against the protocol.
type conformanceCommand struct {
	commonFlags
	Command      []string      `arg:"" optional:"" placeholder:"CMD" help:"The worker of the service conformance: a program and its arguments, after --."`
	Native       bool          `help:"The worker speaks the protocol in Redis, at MAILROOM_REDIS_URL."`
	Frames       bool          `help:"The worker speaks frames, as under mailroom serve (default)."`
	Socket       bool          `help:"The worker speaks frames on a WebSocket of a gateway, at MAILROOM_URL, with the key in MAILROOM_TOKEN."`
	Level        int           `default:"3" help:"Highest level to check: 1, 2 or 3."`
	Only         string        `name:"run" placeholder:"PATTERN" help:"Regular expression: run only the checks whose names match."`
	KnownFailing string        `placeholder:"FILE" help:"Names of checks that are expected to fail, one a line. One that passes is an error."`
	JUnit        string        `name:"junit" placeholder:"FILE" help:"Write the results as JUnit XML."`
	Certificate  string        `placeholder:"FILE" help:"Write the certificate, a JSON file."`
	IdleLimit    time.Duration `default:"3s" help:"The idle limit of the worker; another than 3s is passed on as MAILROOM_IDLE_LIMIT."`
	Parallel     int           `default:"4" help:"Checks that run at the same time."`
	CheckLimit   time.Duration `default:"60s" help:"Time that one check may take."`
}

// Run runs the checks.
func (c *conformanceCommand) Run(ctx context.Context, p *program) error {
	cfg, err := c.config()
	if err != nil {
		return usage(err)
	}
	known := report.Known{}
	if c.KnownFailing != "" {
		text, err := os.ReadFile(c.KnownFailing)
		if err != nil {
			return usage(err)
		}
		if known, err = report.ParseKnown(string(text)); err != nil {
			return usage(fmt.Errorf("%s: %w", c.KnownFailing, err))
		}
	}
	results, err := conformance.Run(ctx, cfg)
	if err != nil {
		return err
	}
	report := report.New(cfg, results, known)
	report.Table(p.stdout)
	for _, file := range []struct {
		name  string
		write func() ([]byte, error)
	}{{c.JUnit, report.JUnit}, {c.Certificate, func() ([]byte, error) { return report.Certificate(toolVersion(), time.Now()) }}} {
		if file.name == "" {
			continue
		}
		text, err := file.write()
		if err != nil {
			return err
		}
		if err := os.WriteFile(file.name, text, 0o644); err != nil { //nolint:gosec // a report for everybody
			return err
		}
	}
	return report.Err()
}

// config checks the flags.
func (c *conformanceCommand) config() (conformance.Config, error) {
	cfg := conformance.Config{
		Command: c.Command, Transport: suites.Frames, Level: c.Level, IdleLimit: c.IdleLimit, Parallel: c.Parallel, CheckLimit: c.CheckLimit,
	}
	switch {
	case len(c.Command) == 0:
		return cfg, errors.New("name the command of the worker, such as: mailroom conformance -- python3 worker.py")
	case c.Native && c.Frames, c.Socket && (c.Native || c.Frames):
		return cfg, errors.New("--native, --frames and --socket exclude each other")
	case c.Level < 1 || c.Level > 3:
		return cfg, fmt.Errorf("--level %d is not 1, 2 or 3", c.Level)
	case c.Parallel < 1 || c.CheckLimit < time.Second:
		return cfg, errors.New("--parallel has to be at least 1 and --check-limit at least 1s")
	case c.IdleLimit < 500*time.Millisecond:
		return cfg, errors.New("--idle-limit has to be at least 500ms")
	}
	if c.Native {
		cfg.Transport = suites.Native
	}
	if c.Socket {
		cfg.Transport = suites.Socket
	}
	if c.Only != "" {
		pattern, err := regexp.Compile(c.Only)
		if err != nil {
			return cfg, fmt.Errorf("--run: %w", err)
		}
		cfg.Only = pattern
	}
	return cfg, nil
}
