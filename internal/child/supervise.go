package child

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/internal/backoff"
	"github.com/oskadev/mailroom/internal/frames"
	"github.com/oskadev/mailroom/internal/host"
)

// The wait before a child is started again, and the time after which one that runs resets
// the wait.
const (
	minWait  = 100 * time.Millisecond
	maxWait  = 10 * time.Second
	goodTime = 10 * time.Second
)

const defaultStartLimit = 30 * time.Second

// Config configures Supervise. Command, Host and Log are required.
type Config struct {
	// Command is the program and its arguments.
	Command []string
	// Children is the number of processes. Defaults to 1.
	Children int
	// Host serves the children.
	Host *host.Host
	// Log receives messages for operators, and the output of the children.
	Log *slog.Logger
	// StartLimit is the time in which a child has to send its serve frame. Defaults to
	// 30 s.
	StartLimit time.Duration
	// Wrap returns the connection to use for that of a child, by which its frames can be
	// watched. Defaults to nil: its own.
	Wrap func(pid int, conn host.Conn) host.Conn
}

// Supervise runs the children until the context ends, and starts each again when it ends.
// It returns an error if a command cannot be started, if the first manifest is faulty, or
// if Redis refuses the worker.
func Supervise(ctx context.Context, cfg Config) error {
	if cfg.StartLimit == 0 {
		cfg.StartLimit = defaultStartLimit
	}
	group, ctx := errgroup.WithContext(ctx)
	for i := range max(cfg.Children, 1) {
		s := &supervisor{cfg: &cfg, log: cfg.Log, waits: backoff.New(minWait, maxWait)}
		if cfg.Children > 1 {
			s.log = cfg.Log.With("child", i+1)
		}
		group.Go(func() error { return s.run(ctx) })
	}
	return group.Wait()
}

// supervisor keeps one child running.
type supervisor struct {
	cfg   *Config
	log   *slog.Logger
	waits *backoff.Backoff
}

func (s *supervisor) run(ctx context.Context) error {
	for first := true; ctx.Err() == nil; {
		began := time.Now()
		p, err := start(s.cfg.Command, s.log)
		switch {
		case err == nil:
			err = p.serve(ctx, s.cfg)
			first = false
		case first:
			return err
		}
		switch {
		case s.isFatal(err):
			return err
		case ctx.Err() != nil:
			return nil //nolint:nilerr // the child was told to end
		}
		if time.Since(began) > goodTime {
			s.waits.Reset()
		}
		wait := s.waits.Next()
		s.log.Error("the worker ended, starting it again", "error", err, "retry_in", wait)
		_ = backoff.Pause(ctx, wait) // the loop checks the context
	}
	return nil
}

// isFatal reports whether starting the child again would not help.
func (s *supervisor) isFatal(err error) bool {
	if bye, ok := errors.AsType[*frames.Bye](err); ok {
		return bye.Reason == frames.Invalid && !s.cfg.Host.Served()
	}
	_, refused := errors.AsType[*bus.RefusedError](err)
	return refused
}
