package cli

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/testsupport"
)

func TestWorkerIsAnAliasOfDemoWorker(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1)
	demo := start(t, "demo", "worker", "users", "--redis", f.redis.URL())
	alias := start(t, "worker", "items", "--redis", f.redis.URL())
	f.serves(t, 15*time.Second, "/users/1")
	f.serves(t, 15*time.Second, "/items/1")
	require.NoError(t, demo.stop())
	require.NoError(t, alias.stop())

	out, errs, code := mailroom(t, "worker", "--help")
	assert.Zero(t, code, errs)
	assert.Contains(t, out, "Alias of demo worker")
	for _, command := range [][]string{{"demo", "worker"}, {"worker"}} {
		_, errs, code = mailroom(t, append(command, "nobody", "--redis", testsupport.Miniredis(t))...)
		assert.Equal(t, exitUsage, code)
		assert.Contains(t, errs, `unknown service "nobody"`)
	}
}
