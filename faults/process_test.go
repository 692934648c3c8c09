package faults

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/testsupport"
)

// patience is the time limit of a test that waits.
const patience = 30 * time.Second

// process is a process of the suite, or a program under test.
type process struct {
	*testsupport.Program

	t *testing.T
}

// start runs this test binary in a role until the test ends.
func start(t *testing.T, role string, env ...string) *process {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	return launch(t, role, append(env, envRole+"="+role), self)
}

// launch runs a program until the test ends. The role names it in messages.
func launch(t *testing.T, role string, env []string, program string, args ...string) *process {
	t.Helper()
	return &process{Program: testsupport.StartProgram(t, role, env, program, args...), t: t}
}

func (p *process) freeze() {
	p.t.Helper()
	testsupport.Freeze(p.t, p.PID())
}

func (p *process) thaw() {
	p.t.Helper()
	testsupport.Thaw(p.t, p.PID())
}

// terminate sends SIGTERM, waits until the process has ended, and requires success.
func (p *process) terminate() {
	p.t.Helper()
	require.NoError(p.t, p.Signal(syscall.SIGTERM))
	p.ended()
	require.NoError(p.t, p.Err(), p.Tail())
}

// ended waits until the process has ended.
func (p *process) ended() {
	p.t.Helper()
	end := time.NewTimer(patience)
	defer end.Stop()
	select {
	case <-p.Gone():
	case <-end.C:
		require.Fail(p.t, "a process did not end", "%s %d", p.Name, p.PID())
	}
}

// works waits until a worker has started.
func (p *process) works() {
	p.t.Helper()
	const text = "worker started"
	testsupport.Eventually(p.t, patience, p.Name+" prints "+text, func() bool {
		select {
		case <-p.Gone():
			return true
		default:
			return p.Printed.Contains(text)
		}
	})
	if !p.Printed.Contains(text) {
		require.Fail(p.t, "a process ended", "%s: %v\n%s", p.Name, p.Err(), strings.TrimSpace(p.Printed.String()))
	}
}

// countOf returns the number of occurrences of a text in the output.
func countOf(p *process, text string) int { return strings.Count(p.Printed.String(), text) }
