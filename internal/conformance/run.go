package conformance

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sync"
	"time"

	"github.com/oskadev/mailroom/internal/conformance/process"
	"github.com/oskadev/mailroom/internal/conformance/suites"
	"github.com/oskadev/mailroom/internal/conformance/worker"
)

// Config configures Run. Command and Transport are required.
type Config struct {
	// Command is the worker under test: a program and its arguments.
	Command []string
	// Transport is how it speaks.
	Transport suites.Transport
	// Level is the highest level that is checked, 1 to 3. Defaults to 3.
	Level int
	// Only limits the checks to names that match. Defaults to all.
	Only *regexp.Regexp
	// IdleLimit is the idle limit of the worker. Defaults to 3 s.
	IdleLimit time.Duration
	// Parallel is the number of checks that run at the same time. Defaults to 4.
	Parallel int
	// CheckLimit is the time that one check may take. Defaults to 30 s and eight idle limits.
	CheckLimit time.Duration
	// Limit is the time that all checks may take. Defaults to 15 minutes.
	Limit time.Duration
}

// Result is the result of one check.
type Result struct {
	Check  suites.Check
	Passed bool
	// Expected and Seen say what failed, each in one line.
	Expected, Seen string
	// Commands are the commands or frames that show it.
	Commands []string
	// Printed is the last output of the worker.
	Printed string
	Took    time.Duration

	unregistered bool // no worker registered
}

// Run runs the checks and returns their results in the order of the suites. Its error says
// that the checks could not run.
func Run(ctx context.Context, cfg Config) ([]Result, error) {
	if cfg.Level == 0 {
		cfg.Level = 3
	}
	if cfg.IdleLimit == 0 {
		cfg.IdleLimit = worker.DefaultIdleLimit
	}
	if cfg.Parallel == 0 {
		cfg.Parallel = 4
	}
	if cfg.CheckLimit == 0 {
		cfg.CheckLimit = 30*time.Second + 8*cfg.IdleLimit
	}
	if cfg.Limit == 0 {
		cfg.Limit = 15 * time.Minute
	}
	checks, err := suites.Load(cfg.Transport, cfg.Level, cfg.IdleLimit)
	if err != nil {
		return nil, err
	}
	var results []Result
	for i := range checks {
		if cfg.Only == nil || cfg.Only.MatchString(checks[i].Name) {
			results = append(results, Result{Check: checks[i]})
		}
	}
	if len(results) == 0 {
		return nil, errors.New("no check has such a name")
	}
	probe, err := process.StartServer()
	if err != nil {
		return nil, err
	}
	probe.Stop()
	limited, cancel := context.WithTimeoutCause(ctx, cfg.Limit, fmt.Errorf("all checks together took longer than %v", cfg.Limit))
	defer cancel()
	if results[0].run(limited, &cfg); results[0].unregistered && cfg.Only == nil {
		for i := range results[1:] {
			results[i+1].Expected, results[i+1].Seen = "a worker that registers", "none: the check did not run"
		}
		return results, nil
	}
	slots := make(chan struct{}, cfg.Parallel)
	var running sync.WaitGroup
	for i := range results[1:] {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			results[i+1].run(limited, &cfg)
		})
	}
	running.Wait()
	if ctx.Err() != nil {
		return nil, errors.New("stopped before all checks had run")
	}
	return results, nil
}

// run runs one check.
func (r *Result) run(ctx context.Context, cfg *Config) {
	if ctx.Err() != nil {
		r.Expected, r.Seen = "time for the check", context.Cause(ctx).Error()
		return
	}
	began := time.Now()
	defer func() { r.Took = time.Since(began) }()
	limited, cancel := context.WithTimeoutCause(ctx, cfg.CheckLimit, failed("an end within the time of a check", "none within %v", cfg.CheckLimit))
	defer cancel()
	s, err := newStage(cfg, &r.Check)
	if err != nil {
		r.Expected, r.Seen = "a Redis and a proxy for the check", err.Error()
		return
	}
	defer s.close()
	if err = s.run(limited); err == nil {
		r.Passed = true
		return
	}
	if f, ok := errors.AsType[*failure](err); ok {
		r.Expected, r.Seen, r.Commands = f.expected, f.seen, f.commands
	} else {
		r.Expected, r.Seen = "the steps of the check run", oneLine(err.Error())
	}
	r.unregistered = len(s.registered) == 0
	if len(r.Commands) == 0 {
		r.Commands = s.recent()
	}
	if len(s.workers) > 0 {
		r.Printed = s.worker().Printed()
	}
}

// recent returns the last commands and frames.
func (s *stage) recent() []string {
	const most = 10
	var lines []string
	if all := s.trace.AllFrames(); len(all) > 0 {
		for _, f := range all[max(0, len(all)-most):] {
			lines = append(lines, f.String())
		}
		return lines
	}
	all := s.trace.All()
	for _, c := range all[max(0, len(all)-most):] {
		line := c.String()
		if c.Reply != nil && c.Reply.IsError() {
			line += fmt.Sprintf(" → %.80s", c.Reply.Text)
		}
		lines = append(lines, line)
	}
	return lines
}
