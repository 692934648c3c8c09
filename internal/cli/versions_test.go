package cli

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/testsupport"
)

func TestVersionsAreCheckedAndShown(t *testing.T) {
	t.Parallel()
	url := testsupport.Miniredis(t)
	out, errs, code := mailroom(t, "versions", "check", "../../examples/shop/versions.yaml", "--redis", url)
	assert.Zero(t, code, errs)
	assert.Contains(t, out, "warning: the service payments has not been seen yet")
	assert.Contains(t, out, "../../examples/shop/versions.yaml: 3 versions, 3 routes")

	bad := filepath.Join(t.TempDir(), "bad.yaml")
	require.NoError(t, os.WriteFile(bad, []byte("versions:\n  v1:\n    routes:\n      GET /x:\n        steps: [{call: nobody}]\n        result: nothing\n"), 0o600))
	out, _, code = mailroom(t, "versions", "check", bad, "--redis", url)
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, out, bad+":5:24: call: want a service and an action")
	_, errs, code = mailroom(t, "versions", "check", bad+".none")
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, errs, "versions file")
	_, errs, code = mailroom(t, "versions", "check", "../../examples/shop/versions.yaml", "--redis", "redis://127.0.0.1:1")
	assert.Zero(t, code, "the file alone has no faults")
	assert.Contains(t, errs, "not checked against the manifests of services")

	out, errs, code = mailroom(t, "versions", "show", "v3")
	assert.Zero(t, code, errs)
	assert.Contains(t, out, "together")
	assert.NotContains(t, out, "v1")
	out, _, _ = mailroom(t, "versions", "show", "../../examples/shop/versions.yaml")
	assert.Contains(t, out, "v1\n└─ POST /payments")
	_, errs, code = mailroom(t, "versions", "show", "v9")
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, errs, "has no version v9")
	_, errs, code = mailroom(t, "versions", "show", bad)
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, errs, bad+":5:24")
	_, errs, code = mailroom(t, "api", "--auth", "none", "--versions", bad)
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, errs, bad+":5:24")
}

// A gateway reads its file again on SIGHUP, even when it has not changed.
func TestVersionsAreReadAgainOnSIGHUP(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "versions.yaml")
	write := func(text string) {
		require.NoError(t, os.WriteFile(file+".new", []byte(text), 0o600))
		require.NoError(t, os.Rename(file+".new", file))
	}
	write("versions: {v1: {}}")
	p := start(t, "api", "--auth", "none", "--redis", testsupport.Miniredis(t), "--listen", testsupport.FreeAddr(t), "--versions", file)
	said := func(text string, times int) {
		testsupport.Eventually(t, 15*time.Second, text, func() bool { return strings.Count(p.printed.String(), text) == times })
	}
	said("Redis is reachable", 1) // by then it watches its file
	write("versions: {v1: {routs: {}}}")
	said("the one before stays in force", 1)
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGHUP))
	said("the one before stays in force", 2)
	write("versions: {v1: {}, v2: {}}")
	said("the versions file is in force", 1)
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGHUP))
	said("the versions file is in force", 2)
	require.NoError(t, p.stop())
}
