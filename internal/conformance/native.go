package conformance

import (
	"os"
	"strings"
	"syscall"
)

// worker is the worker under test.
type worker interface {
	// pid returns its present process, which leads a process group; 0: there is none.
	pid() int
	// gone is closed when it has ended.
	gone() <-chan struct{}
	// exitCode returns its exit code, once it has ended.
	exitCode() int
	// stop ends it at once.
	stop()
	// printed returns its last lines of output.
	printed() string
}

// sendSignal signals the processes of a worker.
func sendSignal(w worker, s syscall.Signal) {
	if pid := w.pid(); pid != 0 {
		_ = syscall.Kill(-pid, s)
	}
}

// native is a worker that speaks the protocol in Redis.
type native struct {
	process *process
	output  tail
}

// startNative starts the command of a worker. Placeholders in its arguments stand for the
// address of Redis and the namespace, for workers that do not read the variables.
func startNative(s *stage, user string) (worker, error) {
	url := "redis://" + user + s.proxy.address()
	replacer := strings.NewReplacer("{url}", url, "{address}", s.proxy.address(), "{namespace}", s.keys.Namespace())
	command := make([]string, len(s.cfg.Command))
	for i, word := range s.cfg.Command {
		command[i] = replacer.Replace(word)
	}
	env := append(os.Environ(), "MAILROOM_REDIS_URL="+url, "MAILROOM_NAMESPACE="+s.keys.Namespace())
	if s.cfg.IdleLimit != DefaultIdleLimit {
		env = append(env, "MAILROOM_IDLE_LIMIT="+s.cfg.IdleLimit.String())
	}
	n := &native{}
	var err error
	n.process, err = startProcess(command, env, &n.output)
	return n, err
}

func (n *native) pid() int { return n.process.cmd.Process.Pid }

func (n *native) gone() <-chan struct{} { return n.process.gone }

func (n *native) exitCode() int { return n.process.cmd.ProcessState.ExitCode() }

func (n *native) stop() { n.process.stop() }

func (n *native) printed() string { return n.output.lines(8) }
