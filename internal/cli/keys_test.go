package cli

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/api/auth/keys"
	"github.com/oskadev/mailroom/testsupport"
)

// mailroomAt runs a command against a Redis.
func mailroomAt(t *testing.T, url string) func(args ...string) (out, errs string, code int) {
	t.Helper()
	return func(args ...string) (string, string, int) {
		var stdout, stderr bytes.Buffer
		err := run(t.Context(), append(args, "--redis", url), []string{"MAILROOM_SCOPE=root", "MAILROOM_AUTH=none"}, &stdout, &stderr)
		text := stderr.String()
		if err != nil {
			text += err.Error()
		}
		return stdout.String(), text, exitCode(err)
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	mailroom := mailroomAt(t, testsupport.Miniredis(t))
	out, errs, code := mailroom("keys", "create", "--name", "Ada", "--scope", "users:write", "--scope", "users:read", "--tenant", "acme", "--expires", "24h")
	require.Zero(t, code, errs)
	assert.Regexp(t, `^mk_[a-z2-7]{16}_[a-z2-7]{32}\n$`, out, "only the key, for scripts")
	key := strings.TrimSpace(out)
	id, secret := key[3:19], key[20:]
	assert.Contains(t, errs, id)
	assert.Contains(t, errs, "users:read users:write")
	assert.NotContains(t, errs, secret)

	out, _, code = mailroom("keys", "list")
	assert.Zero(t, code)
	for _, text := range []string{"ID", "EXPIRES", id, "Ada", "users:read users:write", "acme"} {
		assert.Contains(t, out, text)
	}
	assert.NotContains(t, out, secret)
	out, _, code = mailroom("keys", "list", "--json")
	assert.Zero(t, code)
	var listed []keys.Key
	require.NoError(t, json.Unmarshal([]byte(out), &listed), out)
	require.Len(t, listed, 1)
	assert.Equal(t, []string{"users:read", "users:write"}, listed[0].Scopes, "and none by environment")
	assert.NotContains(t, out, "sha256")

	out, _, code = mailroom("keys", "revoke", id)
	assert.Zero(t, code)
	assert.Equal(t, id+" revoked\n", out)
	for _, unknown := range []string{id, key, key + "x", "x"} {
		_, errs, code = mailroom("keys", "revoke", unknown)
		assert.Equal(t, exitFailed, code, unknown)
		assert.NotContains(t, errs, secret)
	}
	out, _, code = mailroom("keys", "list")
	assert.Zero(t, code)
	assert.NotContains(t, out, id)
	_, _, code = mailroomAt(t, "redis://"+testsupport.FreeAddr(t))("keys", "list")
	assert.Equal(t, exitUndelivered, code)
}

func TestAGatewayAsksForKeys(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 0)
	address := testsupport.FreeAddr(t)
	gateway := start(t, "api", "--auth", "required", "--redis", f.redis.URL(), "--listen", address)
	f.worker(t, "users")
	mailroom := mailroomAt(t, f.redis.URL())
	key := func(scopes ...string) string {
		args := []string{"keys", "create", "--name", "test"}
		for _, scope := range scopes {
			args = append(args, "--scope", scope)
		}
		out, errs, code := mailroom(args...)
		require.Zero(t, code, errs)
		return strings.TrimSpace(out)
	}
	may, mayNot := key("users:write"), key("users:read")
	status := func(method, path, key string) int {
		r, err := http.NewRequestWithContext(t.Context(), method, "http://"+address+path, http.NoBody)
		require.NoError(t, err)
		if key != "" {
			r.Header.Set("Authorization", "Bearer "+key)
		}
		res, err := f.client.Do(r)
		if err != nil {
			return 0
		}
		_ = res.Body.Close()
		return res.StatusCode
	}
	testsupport.Eventually(t, 15*time.Second, "users are served", func() bool {
		return status(http.MethodGet, "/users/1", may) == http.StatusOK
	})
	assert.Equal(t, http.StatusUnauthorized, status(http.MethodGet, "/users/1", ""))
	assert.Equal(t, http.StatusOK, status(http.MethodGet, "/readyz", ""))
	assert.Equal(t, http.StatusForbidden, status(http.MethodPost, "/users/1/suspend", mayNot))
	assert.Equal(t, http.StatusOK, status(http.MethodPost, "/users/1/suspend", may))
	_, _, code := mailroom("keys", "revoke", may[3:19])
	require.Zero(t, code)
	testsupport.Eventually(t, time.Second, "the key is refused", func() bool {
		return status(http.MethodGet, "/users/1", may) == http.StatusUnauthorized
	})
	assert.Contains(t, gateway.printed.String(), "auth=required")
	require.NoError(t, gateway.stop())
	for _, secret := range []string{may[20:], mayNot[20:]} {
		assert.NotContains(t, gateway.printed.String(), secret)
	}
}
