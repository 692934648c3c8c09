package cli

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/testsupport"
)

// shellWorker is a worker in six lines. It answers a request with its own frame, except for
// the action HANG.
const shellWorker = `#!/bin/sh
echo '{"serve":{"service":"greet","actions":[{"name":"HELLO","routes":["GET /greet/:name"]},{"name":"HANG","timeout_ms":200,"routes":["POST /greet/hang"],"args":[]}]}}'
echo "a line that is no frame"
echo "a line of stderr" >&2
while read -r frame; do case $frame in
  *'"HELLO"'*) run=${frame#'{"run":"'}; echo "{\"run\":\"${run%%\"*}\",\"ok\":true,\"result\":{\"pid\":$$,\"frame\":$frame}}" ;;
esac; done
`

// script writes an executable file and returns its path.
func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "worker")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o700)) //nolint:gosec // it has to be executable
	return path
}

func (f *fleet) serve(t *testing.T, args ...string) *process {
	t.Helper()
	return start(t, append([]string{"serve", "--redis", f.redis.URL(), "--idle-limit", "500ms"}, args...)...)
}

// pidOf returns the process that answers.
func (f *fleet) pidOf(t *testing.T) string {
	t.Helper()
	body := f.body(t, "/greet/Oska")
	_, rest, _ := strings.Cut(body, `"pid":`)
	pid, _, _ := strings.Cut(rest, ",")
	require.NotEmpty(t, pid, body)
	return pid
}

func (f *fleet) body(t *testing.T, path string) string {
	t.Helper()
	res, err := f.client.Get(f.gateways[0] + path) //nolint:noctx // bounded by the client's timeout
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return string(text)
}

func TestServeRunsAShellWorker(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1)
	p := f.serve(t, "--", script(t, shellWorker))
	f.serves(t, 15*time.Second, "/greet/Oska")
	testsupport.Eventually(t, 5*time.Second, "its output is logged", func() bool {
		return p.printed.Contains(`stream=stdout line="a line that is no frame"`) && p.printed.Contains(`stream=stderr line="a line of stderr"`)
	})
	pid := f.pidOf(t)

	require.NoError(t, exec.CommandContext(t.Context(), "kill", "-9", pid).Run())
	f.serves(t, 15*time.Second, "/greet/Oska")
	assert.NotEqual(t, pid, f.pidOf(t), "another process")
	assert.True(t, p.printed.Contains("signal: killed"), p.printed.String())

	pid = f.pidOf(t)
	require.NoError(t, p.stop())
	assert.Error(t, exec.CommandContext(t.Context(), "kill", "-0", pid).Run(), "the child has ended")
}

// A worker that does not answer past the deadline is killed.
func TestServeKillsAStuckWorker(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1)
	p := f.serve(t, "--drain", "300ms", "--", script(t, shellWorker))
	f.serves(t, 15*time.Second, "/greet/Oska")
	pid := f.pidOf(t)
	res, err := f.client.Post(f.gateways[0]+"/greet/hang", "application/json", nil) //nolint:noctx // bounded by the client's timeout
	require.NoError(t, err)
	_ = res.Body.Close()
	assert.Equal(t, http.StatusGatewayTimeout, res.StatusCode)
	testsupport.Eventually(t, 15*time.Second, "it is killed", func() bool { return p.printed.Contains("run ") && p.printed.Contains("did not end") })
	f.serves(t, 15*time.Second, "/greet/Oska")
	assert.NotEqual(t, pid, f.pidOf(t))
}

// pythonWorker speaks on the unix socket, and prints.
const pythonWorker = `
import json, os, socket
s = socket.socket(socket.AF_UNIX); s.connect(os.environ["MAILROOM_SOCKET"])
def send(frame): s.sendall((json.dumps(frame) + "\n").encode())
send({"serve": {"service": "greet", "actions": [{"name": "HELLO", "routes": ["GET /greet/:name"]}]}, "concurrency": 1})
for line in s.makefile():
    frame = json.loads(line)
    print('{"run":"1","ok":true,"result":"printed"}', flush=True)
    if "run" in frame: send({"run": frame["run"], "ok": True, "result": {"pid": os.getpid(), "x": 1}})
`

func TestServeOverAUnixSocket(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1)
	p := f.serve(t, "--children", "2", "--", "python3", script(t, pythonWorker))
	f.serves(t, 15*time.Second, "/greet/Oska")
	pids := make(map[string]bool)
	testsupport.Eventually(t, 15*time.Second, "both children answer", func() bool {
		pids[f.pidOf(t)] = true
		return len(pids) == 2
	})
	assert.True(t, p.printed.Contains("printed"), "what a child prints is logged")
	require.NoError(t, p.stop())
}

func TestServeRefuses(t *testing.T) {
	t.Parallel()
	redis := testsupport.Miniredis(t)
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{nil, exitUsage, "name the command of the worker"},
		{[]string{"--children", "0", "--", "true"}, exitUsage, "--children"},
		{[]string{"--", "/no/such/worker"}, exitUsage, "/no/such/worker"},
		{[]string{"--", "sh", "-c", `echo '{"serve":{"service":"Greet","actions":[]}}'; read x`}, exitFailed, `service name "Greet"`},
	} {
		_, errs, code := mailroom(t, append([]string{"serve", "--redis", redis}, c.args...)...)
		assert.Equal(t, c.code, code, errs)
		assert.Contains(t, errs, c.want)
	}
}
