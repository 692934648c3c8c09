package testsupport

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// stopWait is how long a process may take to end after SIGTERM before it gets SIGKILL.
const stopWait = 5 * time.Second

// process is a child whose end is always observed: nothing is left as a zombie, and nobody signals a reused pid.
type process struct {
	cmd    *exec.Cmd
	cancel context.CancelFunc
	gone   chan struct{} // closed once the process has ended and been waited for
	log    string        // file with what it printed
}

// startProcess runs binary in dir and collects its output there. The process ends with ctx, by stop or by kill.
func startProcess(ctx context.Context, dir, binary string, args []string) (*process, error) {
	log := filepath.Join(dir, "output.log")
	// A file and not a writer, so that no goroutine has to copy the output.
	output, err := os.Create(log)
	if err != nil {
		return nil, fmt.Errorf("create the log of %s: %w", binary, err)
	}
	defer func() { _ = output.Close() }() // the child has its own descriptor by then

	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, output, output
	cmd.SysProcAttr = diesWithParent()
	cmd.Cancel = func() error {
		// A stopped process would keep SIGTERM until it is continued.
		return errors.Join(cmd.Process.Signal(syscall.SIGCONT), cmd.Process.Signal(syscall.SIGTERM))
	}
	cmd.WaitDelay = stopWait
	if err := cmd.Start(); err != nil {
		cancel()
		return nil, fmt.Errorf("start %s: %w", binary, err)
	}
	p := &process{cmd: cmd, cancel: cancel, gone: make(chan struct{}), log: log}
	go func() {
		defer close(p.gone)
		_ = cmd.Wait() // how it ended matters to nobody; that it ended does
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// stop asks the process to end, forces it after stopWait, and returns when it is gone.
func (p *process) stop() {
	p.cancel()
	<-p.gone
}

// kill ends the process at once and returns when it is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // fails only when it has ended already, which is what is wanted
	<-p.gone
	p.cancel() // releases the context
}

func (p *process) freeze() error { return p.cmd.Process.Signal(syscall.SIGSTOP) }

func (p *process) thaw() error { return p.cmd.Process.Signal(syscall.SIGCONT) }

// output returns the end of what the process printed, for error messages.
func (p *process) output() string {
	const most = 2000
	text, err := os.ReadFile(p.log)
	if err != nil {
		return fmt.Sprintf("(its output cannot be read: %v)", err)
	}
	return string(text[max(0, len(text)-most):])
}
