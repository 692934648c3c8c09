package process

import (
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// maxOutput is how much of a process's output is kept, in bytes.
const maxOutput = 32 << 10

// Tail keeps the end of what is written to it.
type Tail struct {
	mu   sync.Mutex
	text []byte
}

// Write keeps the end of the text.
func (t *Tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.text = append(t.text, p...); len(t.text) > maxOutput {
		t.text = append(t.text[:0], t.text[len(t.text)-maxOutput:]...)
	}
	return len(p), nil
}

// Lines returns the last lines.
func (t *Tail) Lines(n int) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := bytes.Split(bytes.TrimSpace(t.text), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-n):], []byte("\n")))
}

// Process is a process with a group of its own.
type Process struct {
	cmd  *exec.Cmd
	Gone chan struct{} // closed when it has ended
}

// Start starts a command. The kernel ends it with this process where it can.
func Start(command, env []string, output io.Writer) (*Process, error) {
	p := &Process{cmd: exec.Command(command[0], command[1:]...), Gone: make(chan struct{})} //nolint:gosec,noctx // the operator names it; stop ends it
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = env, output, output
	p.cmd.SysProcAttr = attributes()
	p.cmd.WaitDelay = time.Second // descendants may hold the output open
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // the kernel ends the process with the thread that started it
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait() // its state is read from the command
			close(p.Gone)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", command[0], err)
	}
	return p, nil
}

// Pid returns the ID of the process and of its group.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// ExitCode returns the exit code of a process that has ended; -1: a signal ended it.
func (p *Process) ExitCode() int { return p.cmd.ProcessState.ExitCode() }

// signal signals the process group.
func (p *Process) signal(s syscall.Signal) { _ = syscall.Kill(-p.cmd.Process.Pid, s) }

// Stop kills the process group and waits for the process.
func (p *Process) Stop() {
	p.signal(syscall.SIGKILL)
	<-p.Gone
}
