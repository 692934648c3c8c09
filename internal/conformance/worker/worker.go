package worker

import (
	"fmt"
	"syscall"
	"time"

	"github.com/oskadev/mailroom/internal/conformance/suites"
	"github.com/oskadev/mailroom/internal/conformance/trace"
)

// DefaultIdleLimit is the idle limit of workers that are not configured.
const DefaultIdleLimit = 3 * time.Second

// Config configures Start. All members but User are required.
type Config struct {
	// Command is a program and its arguments.
	Command []string
	// Transport is how the worker speaks.
	Transport suites.Transport
	// Redis is the address of Redis, or of a proxy before it.
	Redis string
	// User is a user of Redis and its password, as in a URL: user:password@. Defaults to none.
	User string
	// Namespace is that of the keys in Redis.
	Namespace string
	// IdleLimit is the idle limit of the worker.
	IdleLimit time.Duration
	// Trace records the frames of the worker.
	Trace *trace.Trace
}

func (c *Config) url() string { return "redis://" + c.User + c.Redis }

// Worker is the worker under test.
type Worker interface {
	// Pid returns its present process, which leads a process group; 0: there is none.
	Pid() int
	// Gone is closed when it has ended.
	Gone() <-chan struct{}
	// ExitCode returns its exit code, once it has ended.
	ExitCode() int
	// Stop ends it at once.
	Stop()
	// Printed returns its last lines of output.
	Printed() string
}

// SendSignal signals the processes of a worker.
func SendSignal(w Worker, s syscall.Signal) {
	if pid := w.Pid(); pid != 0 {
		_ = syscall.Kill(-pid, s)
	}
}

// Start starts a worker.
func Start(cfg *Config) (Worker, error) {
	switch cfg.Transport {
	case suites.Native:
		return startNative(cfg)
	case suites.Frames:
		return startFramed(cfg)
	case suites.Socket:
		return startSocketed(cfg)
	default:
		return nil, fmt.Errorf("unknown transport %q", cfg.Transport)
	}
}
