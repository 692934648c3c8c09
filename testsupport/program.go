package testsupport

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Program is a process of one test: a program under test, or the test binary itself in a role.
type Program struct {
	Name    string // in messages
	Printed Output // standard output and standard error

	cmd  *exec.Cmd
	gone chan struct{}
	err  error // valid once gone is closed
}

// StartProgram runs a program until the test ends. env is added to the environment of the test; MAILROOM_OPS_LISTEN is off,
// because its default is one port for all processes. The test fails if the program reports a data race or panics, and
// prints the end of its output if it fails.
func StartProgram(t testing.TB, name string, env []string, program string, args ...string) *Program {
	t.Helper()
	p := &Program{Name: name, gone: make(chan struct{})}
	p.cmd = exec.CommandContext(t.Context(), program, args...)
	p.cmd.Env = append(append(os.Environ(), "MAILROOM_OPS_LISTEN=off"), env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.Printed, &p.Printed
	p.cmd.SysProcAttr = DiesWithParent()
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		defer close(p.gone)
		p.err = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		p.Kill()
		printed := p.Printed.String()
		for _, sign := range []string{"DATA RACE", "\npanic: "} {
			if strings.Contains(printed, sign) {
				t.Errorf("%s %d printed %q", name, p.PID(), sign)
			}
		}
		if t.Failed() {
			t.Logf("%s %d ended with %v and printed:\n%s", name, p.PID(), p.err, p.Tail())
		}
	})
	return p
}

// Tail returns the end of the output, for messages.
func (p *Program) Tail() string {
	const most = 12_000
	text := p.Printed.String()
	if len(text) <= most {
		return text
	}
	return "…" + text[len(text)-most:]
}

// PID returns the process ID.
func (p *Program) PID() int { return p.cmd.Process.Pid }

// Signal sends a signal.
func (p *Program) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// Kill sends SIGKILL, like a crash, and returns when the process has ended.
func (p *Program) Kill() {
	_ = p.cmd.Process.Kill() // it may have ended already
	<-p.gone
}

// Gone returns a channel that is closed when the process has ended.
func (p *Program) Gone() <-chan struct{} { return p.gone }

// Err returns how the process ended. It is valid once Gone is closed.
func (p *Program) Err() error { return p.err }
