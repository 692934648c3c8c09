package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/testsupport"
)

// conform runs "mailroom conformance". The full form runs the checks of all levels, which
// takes the processor for itself; the short form a few of them.
func conform(t *testing.T, worker []string, flags ...string) (string, error) {
	t.Helper()
	args := []string{"conformance", "--level", "3"}
	if os.Getenv("MAILROOM_CONFORMANCE") != "full" && !slices.Contains(flags, "--run") {
		args = []string{"conformance", "--level", "1", "--run", "^(register|echo|get|fail|unknown-action)$"}
	}
	var out bytes.Buffer
	args = append(append(args, "--idle-limit", "2s"), flags...)
	err := run(t.Context(), append(append(args, "--"), worker...), nil, &out, &out)
	return out.String(), err
}

// goWorker is the command of the Go worker of the service conformance.
func goWorker(t *testing.T) []string {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	return []string{"env", asProgram + "=1", self, "demo", "worker", "conformance"}
}

func TestGoWorkerConforms(t *testing.T) {
	t.Parallel()
	testsupport.StartRedis(t) // skips without one
	out, err := conform(t, goWorker(t), "--native")
	require.NoError(t, err, out)
}

func TestPythonNativeWorkerConforms(t *testing.T) {
	t.Parallel()
	testsupport.StartRedis(t) // skips without one
	out, err := conform(t, []string{requirePython(t), "../../examples/python/worker.py", "{address}", "{namespace}"}, "--native", "--level", "1")
	require.NoError(t, err, out)
}

func TestPythonFrameWorkerConforms(t *testing.T) {
	t.Parallel()
	testsupport.StartRedis(t) // skips without one
	out, err := conform(t, []string{requirePython(t), "../../examples/conformance/worker.py"}, "--frames")
	require.NoError(t, err, out)
}

// TestPackagesConform checks the packages for Node and Python, under a host and on a socket.
func TestPackagesConform(t *testing.T) {
	t.Parallel()
	for name, worker := range map[string][]string{
		"node":   {"node", "../../examples/conformance/worker.mjs"},
		"python": {"env", "PYTHONPATH=../../clients/python/src", "python3", "../../examples/conformance/package_worker.py"},
	} {
		for _, transport := range []string{"--frames", "--socket"} {
			t.Run(name+transport, func(t *testing.T) {
				t.Parallel()
				requirePackages(t)
				testsupport.StartRedis(t) // skips without one
				out, err := conform(t, worker, transport)
				require.NoError(t, err, out)
			})
		}
	}
}

// requirePackages skips a test unless the packages can run, or fails it where tests must not
// skip.
func requirePackages(t *testing.T) {
	t.Helper()
	for _, command := range [][]string{{"node", "../../clients/node/dist/index.js"}, {"python3", "-c", "import websockets"}} {
		if out, err := exec.CommandContext(t.Context(), command[0], command[1:]...).CombinedOutput(); err != nil {
			if os.Getenv("MAILROOM_TEST_NODE") == "required" {
				t.Fatalf("%v: %s: run clients/node/check and clients/python/check", err, out)
			}
			t.Skipf("%v: the packages are not built", err)
		}
	}
}

func TestConformanceReports(t *testing.T) {
	t.Parallel()
	testsupport.StartRedis(t) // skips without one
	dir := t.TempDir()
	known, junit, certificate := filepath.Join(dir, "known"), filepath.Join(dir, "junit.xml"), filepath.Join(dir, "certificate.json")
	flags := []string{"--native", "--run", "^(get|fail)$", "--known-failing", known, "--junit", junit, "--certificate", certificate}
	require.NoError(t, os.WriteFile(known, []byte("# a list\nget\n"), 0o600))

	out, err := conform(t, goWorker(t), flags...)
	require.ErrorContains(t, err, "get passed: remove it from the list", out)
	require.NoError(t, os.WriteFile(known, nil, 0o600))
	out, err = conform(t, goWorker(t), flags...)
	require.NoError(t, err, out)
	text, err := os.ReadFile(junit)
	require.NoError(t, err)
	assert.Contains(t, string(text), `tests="2" failures="0"`)
	text, err = os.ReadFile(certificate)
	require.NoError(t, err)
	var c struct {
		Transport string
		Checks    map[string]string
	}
	require.NoError(t, json.Unmarshal(text, &c))
	assert.Equal(t, "native", c.Transport)
	assert.Equal(t, map[string]string{"get": "pass", "fail": "pass"}, c.Checks)

	out, err = conform(t, []string{"false"}, "--native")
	require.ErrorContains(t, err, "checks failed")
	assert.Contains(t, out, "saw      the worker ended with the exit code 1")
	_, err = conform(t, []string{"no-such-program"}, "--frames", "--run", "^get$")
	require.ErrorContains(t, err, "1 checks failed")
}

func TestConformanceRefusesItsFlags(t *testing.T) {
	t.Parallel()
	for problem, args := range map[string][]string{
		"name the command of the worker":  {},
		"exclude each other":              {"--native", "--frames", "--", "x"},
		"and --socket exclude each other": {"--socket", "--frames", "--", "x"},
		"--level 4 is not 1, 2 or 3":      {"--level", "4", "--", "x"},
		"--run":                           {"--run", "(", "--", "x"},
		"no-such-file":                    {"--known-failing", "no-such-file", "--", "x"},
		"--idle-limit has to be at least": {"--idle-limit", "1ms", "--", "x"},
	} {
		var out bytes.Buffer
		err := run(t.Context(), append([]string{"conformance"}, args...), nil, &out, &out)
		require.ErrorContains(t, err, problem)
		assert.Equal(t, exitUsage, exitCode(err))
	}
}
