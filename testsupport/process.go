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

// stopWait is the time from SIGTERM to SIGKILL.
const stopWait = 5 * time.Second

// process is a child process. It is always waited for, so that no zombie remains and no reused pid is signalled.
type process struct {
	cmd    *exec.Cmd
	cancel context.CancelFunc
	gone   chan struct{} // closed once the process has ended and been waited for
	log    string        // file with its output
}

// startProcess starts binary in dir, and writes its output to a file there. The process ends when ctx ends, by stop, or by
// kill.
func startProcess(ctx context.Context, dir, binary string, args []string) (*process, error) {
	log := filepath.Join(dir, "output.log")
	// A file needs no goroutine that copies the output.
	output, err := os.Create(log)
	if err != nil {
		return nil, fmt.Errorf("create the log of %s: %w", binary, err)
	}
	defer func() { _ = output.Close() }() // the child has its own descriptor

	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, output, output
	cmd.SysProcAttr = DiesWithParent()
	cmd.Cancel = func() error {
		// A frozen process handles SIGTERM only after SIGCONT.
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
		_ = cmd.Wait() // the exit status does not matter
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// stop sends SIGTERM, after stopWait SIGKILL, and returns when the process has ended.
func (p *process) stop() {
	p.cancel()
	<-p.gone
}

// kill sends SIGKILL, and returns when the process has ended.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // fails only if the process has ended already
	<-p.gone
	p.cancel() // releases the context
}

// output returns the end of the output, for error messages.
func (p *process) output() string {
	const most = 2000
	text, err := os.ReadFile(p.log)
	if err != nil {
		return fmt.Sprintf("(its output cannot be read: %v)", err)
	}
	return string(text[max(0, len(text)-most):])
}
