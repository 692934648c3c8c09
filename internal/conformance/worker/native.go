package worker

import (
	"os"
	"strings"

	"github.com/oskadev/mailroom/internal/conformance/process"
)

// native is a worker that speaks the protocol in Redis.
type native struct {
	process *process.Process
	output  process.Tail
}

// startNative starts the command of a worker. Placeholders in its arguments stand for the
// address of Redis and the namespace, for workers that do not read the variables.
func startNative(cfg *Config) (Worker, error) {
	url := cfg.url()
	replacer := strings.NewReplacer("{url}", url, "{address}", cfg.Redis, "{namespace}", cfg.Namespace)
	command := make([]string, len(cfg.Command))
	for i, word := range cfg.Command {
		command[i] = replacer.Replace(word)
	}
	env := append(os.Environ(), "MAILROOM_REDIS_URL="+url, "MAILROOM_NAMESPACE="+cfg.Namespace)
	if cfg.IdleLimit != DefaultIdleLimit {
		env = append(env, "MAILROOM_IDLE_LIMIT="+cfg.IdleLimit.String())
	}
	n := &native{}
	var err error
	n.process, err = process.Start(command, env, &n.output)
	return n, err
}

// Pid returns the present process.
func (n *native) Pid() int { return n.process.Pid() }

// Gone is closed when the worker has ended.
func (n *native) Gone() <-chan struct{} { return n.process.Gone }

// ExitCode returns the exit code of the worker that has ended.
func (n *native) ExitCode() int { return n.process.ExitCode() }

// Stop ends the worker at once.
func (n *native) Stop() { n.process.Stop() }

// Printed returns the last lines of output.
func (n *native) Printed() string { return n.output.Lines(8) }
