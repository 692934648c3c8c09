package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/testsupport"
)

func TestVersionsAreCheckedAndShown(t *testing.T) {
	t.Parallel()
	url := testsupport.Miniredis(t)
	out, errs, code := mailroom(t, "versions", "check", "examples/shop/versions.yaml", "--redis", url)
	assert.Zero(t, code, errs)
	assert.Contains(t, out, "warning: the service payments has not been seen yet")
	assert.Contains(t, out, "examples/shop/versions.yaml: 3 versions, 3 routes")

	bad := filepath.Join(t.TempDir(), "bad.yaml")
	require.NoError(t, os.WriteFile(bad, []byte("versions:\n  v1:\n    routes:\n      GET /x:\n        steps: [{ask: nobody}]\n        result: nothing\n"), 0o600))
	out, _, code = mailroom(t, "versions", "check", bad, "--redis", url)
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, out, bad+":5:23: ask: want a service and an action")
	_, errs, code = mailroom(t, "versions", "check", bad+".none")
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, errs, "versions file")
	_, errs, code = mailroom(t, "versions", "check", "examples/shop/versions.yaml", "--redis", "redis://127.0.0.1:1")
	assert.Zero(t, code, "what can be said without Redis was")
	assert.Contains(t, errs, "not held against what services declare")

	out, errs, code = mailroom(t, "versions", "show", "v3")
	assert.Zero(t, code, errs)
	assert.Contains(t, out, "together")
	assert.NotContains(t, out, "v1")
	out, _, _ = mailroom(t, "versions", "show", "examples/shop/versions.yaml")
	assert.Contains(t, out, "v1\n└─ POST /payments")
	_, errs, code = mailroom(t, "versions", "show", "v9")
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, errs, "has no version v9")
	_, errs, code = mailroom(t, "versions", "show", bad)
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, errs, bad+":5:23")
	_, errs, code = mailroom(t, "api", "--auth", "none", "--versions", bad)
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, errs, bad+":5:23")
}
