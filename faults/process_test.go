package faults

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/testsupport"
)

// patience is the time limit of a test that waits.
const patience = 30 * time.Second

// process is a process of the suite, or a program under test.
type process struct {
	t       *testing.T
	role    string
	cmd     *exec.Cmd
	printed testsupport.Output
	gone    chan struct{}
	err     error // valid once gone is closed
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
	p := &process{t: t, role: role, gone: make(chan struct{})}
	p.cmd = exec.CommandContext(t.Context(), program, args...)
	p.cmd.Env = append(append(os.Environ(), "MAILROOM_OPS_LISTEN=off"), env...) // its default is one port for all
	p.cmd.Stdout, p.cmd.Stderr = &p.printed, &p.printed
	p.cmd.SysProcAttr = diesWithParent()
	require.NoError(t, p.cmd.Start())
	go func() {
		defer close(p.gone)
		p.err = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		p.kill()
		printed := p.printed.String()
		assert.NotContains(t, printed, "DATA RACE")
		assert.NotContains(t, printed, "\npanic: ")
		if t.Failed() {
			t.Logf("%s %d ended with %v and printed:\n%s", role, p.pid(), p.err, tail(printed))
		}
	})
	return p
}

func tail(text string) string {
	const most = 12_000
	if len(text) <= most {
		return text
	}
	return "…" + text[len(text)-most:]
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// kill sends SIGKILL, like a crash.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended already
	<-p.gone
}

func (p *process) freeze() {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGSTOP))
	// On a busy machine it takes a while until all threads stop.
	testsupport.Eventually(p.t, patience, "it stands still", func() bool { return standsStill(p.cmd.Process.Pid) })
}

func (p *process) thaw() {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGCONT))
}

// terminate sends SIGTERM, waits until the process has ended, and requires success.
func (p *process) terminate() {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGTERM))
	p.ended()
	require.NoError(p.t, p.err, tail(p.printed.String()))
}

// ended waits until the process has ended.
func (p *process) ended() {
	p.t.Helper()
	end := time.NewTimer(patience)
	defer end.Stop()
	select {
	case <-p.gone:
	case <-end.C:
		require.Fail(p.t, "a process did not end", "%s %d", p.role, p.pid())
	}
}

// works waits until a worker has started.
func (p *process) works() {
	p.t.Helper()
	const text = "worker started"
	testsupport.Eventually(p.t, patience, p.role+" prints "+text, func() bool {
		select {
		case <-p.gone:
			return true
		default:
			return p.printed.Contains(text)
		}
	})
	if !p.printed.Contains(text) {
		require.Fail(p.t, "a process ended", "%s: %v\n%s", p.role, p.err, strings.TrimSpace(p.printed.String()))
	}
}

// countOf returns the number of occurrences of a text in the output.
func countOf(p *process, text string) int { return strings.Count(p.printed.String(), text) }
