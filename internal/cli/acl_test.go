package cli

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/testsupport"
)

// guarded is a fleet in which each process has its own Redis user.
type guarded struct {
	*fleet
	passwords string // directory
}

func newGuarded(t *testing.T, services ...string) *guarded {
	t.Helper()
	g := &guarded{
		fleet:     &fleet{redis: testsupport.StartRedis(t), client: newHTTPClient(t)},
		passwords: filepath.Join(t.TempDir(), "made", "here"),
	}
	g.acl(t, "api")
	g.acl(t, append([]string{"worker"}, services...)...)
	return g
}

// acl sets users.
func (g *guarded) acl(t *testing.T, args ...string) {
	t.Helper()
	args = append(append([]string{"acl"}, args...), "--password-dir", g.passwords, "--make-password", "--apply", "--redis", g.redis.URL())
	_, errs, code := mailroom(t, args...)
	require.Zero(t, code, errs)
}

// mailroom runs a command in this process.
func mailroom(t *testing.T, args ...string) (out, errs string, code int) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	err := run(t.Context(), args, nil, &stdout, &stderr)
	if err != nil {
		stderr.WriteString(err.Error())
	}
	return stdout.String(), stderr.String(), exitCode(err)
}

// as returns the flags that make a process log in as a user.
func (g *guarded) as(user string) []string {
	return []string{"--redis", "redis://" + user + "@" + g.redis.Addr(), "--redis-password-file", filepath.Join(g.passwords, user)}
}

func (g *guarded) gateway(t *testing.T, args ...string) {
	t.Helper()
	address := testsupport.FreeAddr(t)
	start(t, append(append([]string{"api", "--auth", "none", "--limit", "10000/s per address", "--listen", address}, args...), g.as("api")...)...)
	g.gateways = append(g.gateways, "http://"+address)
}

// knowsKeys checks that a gateway can read API keys with the rights of its role.
func (g *guarded) knowsKeys(t *testing.T) {
	t.Helper()
	address := testsupport.FreeAddr(t)
	start(t, append([]string{"api", "--auth", "required", "--listen", address}, g.as("api")...)...)
	key, errs, code := mailroom(t, "keys", "create", "--name", "test", "--redis", g.redis.URL())
	require.Zero(t, code, errs)
	status := func(key string) int {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/users/2", http.NoBody)
		require.NoError(t, err)
		r.Header.Set("X-API-Key", key)
		res, err := g.client.Do(r)
		if err != nil {
			return 0
		}
		_ = res.Body.Close()
		return res.StatusCode
	}
	key = strings.TrimSpace(key)
	testsupport.Eventually(t, 15*time.Second, "the key is accepted", func() bool { return status(key) == http.StatusOK })
	assert.Equal(t, http.StatusUnauthorized, status(strings.Replace(key, "mk_", "mk_a", 1)))
	assert.Equal(t, http.StatusUnauthorized, status("mk_aaaaaaaaaaaaaaaa_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"))
}

func (g *guarded) serving(t *testing.T, user, service string, args ...string) *process {
	t.Helper()
	return start(t, append(append([]string{"worker", service, "--idle-limit", "500ms"}, g.as(user)...), args...)...)
}

// refusals returns the ACL log of Redis.
func (g *guarded) refusals() []any {
	log, _ := g.redis.Do("ACL", "LOG").([]any)
	return log
}

// ends waits for the end of a process and returns its exit code and its output.
func (p *process) ends(within time.Duration) (code int, printed string) {
	p.t.Helper()
	select {
	case err := <-p.ended:
		p.ended <- err
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			code = exit.ExitCode()
		}
	case <-time.After(within):
		p.t.Fatalf("the process still runs after %v and printed:\n%s", within, p.printed.String())
	}
	return code, p.printed.String()
}

func TestEveryRoleDoesItsWorkWithItsRights(t *testing.T) {
	t.Parallel()
	g := newGuarded(t, "users", "items", "vouchers", "payments", "echo")
	g.gateway(t, "--versions", "../../examples/shop/versions.yaml")
	g.gateway(t, "--versions", "../../examples/shop/versions.yaml")
	workers := make(map[string]*process)
	for _, service := range []string{"users", "items", "vouchers", "payments", "echo"} {
		workers[service] = g.serving(t, service, service, "--max-attempts", "1")
	}
	for _, path := range []string{"/users/1", "/items/1", "/vouchers/WELCOME10", "/payments?user_id=1", "/echo/1"} {
		g.serves(t, 15*time.Second, path)
	}
	g.knowsKeys(t)
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{http.MethodPost, "/v3/payments", `{"user_id":1,"item_id":1,"gateway":"B","amount":500}`, 201},
		{http.MethodPost, "/echo/7/append", `{"value":1}`, 200},
		{http.MethodGet, "/echo/7/log", "", 200},
		{http.MethodGet, "/users", "", 200},
		{http.MethodGet, "/users/count", "", 200},
		{http.MethodPost, "/users", `{"name":"Ada","email":"ada@example.com"}`, 201},
		{http.MethodPatch, "/users/1", `{"name":"Oskar"}`, 200},
		{http.MethodPost, "/users/1/suspend", "", 200},
		{http.MethodDelete, "/users/1", "", 200},
		{http.MethodGet, "/items", "", 200},
		{http.MethodPost, "/items/1/reserve", `{"quantity":2}`, 200},
		{http.MethodPost, "/vouchers/WELCOME10/redeem", `{"payment_id":1}`, 200},
		{http.MethodPost, "/payments", `{"user_id":1,"item_id":1,"gateway":"A","amount":500}`, 201},
		{http.MethodGet, "/payments/1", "", 200},
		{http.MethodGet, "/echo/7/cached", "", 200},
		{http.MethodGet, "/echo/7/cached", "", 200},
		{http.MethodPost, "/echo/7/touch", "", 200},
		{http.MethodGet, "/echo/7/cached", "", 200},
		{http.MethodPost, "/echo", `{"a":"` + strings.Repeat("x", 100_000) + `"}`, 200},
		{http.MethodPost, "/echo/panic", "", 500},
		{http.MethodPost, "/echo/sleep", `{"ms":1200}`, 200}, // longer than a heartbeat
	} {
		for _, gateway := range g.gateways {
			status, _, body := request(t, g.client, c.method, gateway+c.path, c.body)
			if c.method == http.MethodDelete && status == http.StatusNotFound {
				continue // deleted through the other gateway
			}
			assert.Equal(t, c.status, status, "%s %s: %s", c.method, c.path, body)
		}
	}
	var calling sync.WaitGroup // all but one wait in the lane
	for range 6 {
		calling.Go(func() {
			_, errs, code := mailroom(t, append([]string{"call", "echo", "APPEND", "9", `{"value":1,"ms":50}`}, g.as("api")...)...)
			assert.Zero(t, code, errs)
		})
	}
	calling.Wait()
	g.handlesTickets(t, workers["echo"])
	g.handlesDeadLetters(t)
	out, errs, code := mailroom(t, append([]string{"services", "users"}, g.as("api")...)...)
	assert.Zero(t, code, errs)
	assert.Contains(t, out, "GET /users/:id")
	_, errs, code = mailroom(t, append([]string{"services", "compositions"}, g.as("api")...)...)
	assert.Zero(t, code, errs)
	for _, service := range []string{"users", "items", "vouchers", "payments"} {
		require.NoError(t, workers[service].stop(), "the worker drains")
	}
	assert.Empty(t, g.refusals(), "Redis refused nothing")
}

// handlesTickets sends requests with --async and cancels one.
func (g *guarded) handlesTickets(t *testing.T, echo *process) {
	t.Helper()
	send := func() string {
		out, errs, code := mailroom(t, append([]string{"call", "echo", "SLEEP", `{"ms":1}`, "--async"}, g.as("api")...)...)
		require.Zero(t, code, errs)
		_, rest, _ := strings.Cut(out, `"id":"`)
		id, _, _ := strings.Cut(rest, `"`)
		return "echo." + id
	}
	_, errs, code := mailroom(t, append([]string{"ticket", send(), "--wait"}, g.as("api")...)...)
	assert.Zero(t, code, errs)
	testsupport.Freeze(t, echo.cmd.Process.Pid)
	send() // a blocked read may take this one
	ticket := send()
	status, _, body := request(t, g.client, http.MethodDelete, g.gateways[0]+"/requests/"+ticket, "")
	assert.Equal(t, http.StatusOK, status, body)
	testsupport.Thaw(t, echo.cmd.Process.Pid)
}

// handlesDeadLetters makes a dead letter and handles it as the user of the service.
func (g *guarded) handlesDeadLetters(t *testing.T) {
	t.Helper()
	second := g.serving(t, "echo", "echo", "--max-attempts", "1")
	testsupport.Eventually(t, 15*time.Second, "the second worker has started", func() bool {
		return strings.Contains(second.printed.String(), "worker started")
	})
	status, header, body := request(t, g.client, http.MethodPost, g.gateways[0]+"/echo/exit", "")
	require.Equal(t, http.StatusInternalServerError, status, body)
	id := header.Get("X-Request-Id")
	for _, what := range []string{"list", "show", "drop"} {
		args := []string{"dead", what, "echo"}
		if what != "list" {
			args = append(args, id)
		}
		out, errs, code := mailroom(t, append(args, g.as("echo")...)...)
		assert.Zero(t, code, errs)
		assert.Contains(t, out, id)
	}
}

func TestRefusedProcessesEndWithOneLine(t *testing.T) {
	t.Parallel()
	g := newGuarded(t, "users", "items")
	require.NoError(t, os.WriteFile(filepath.Join(g.passwords, "nobody"), []byte("wrong"), 0o600))
	// A user with all rights on keys and none to use channels.
	g.redis.Do("ACL", "SETUSER", "mute", "reset", "on", ">mute", "~mailroom:*", "+@all", "resetchannels")
	require.NoError(t, os.WriteFile(filepath.Join(g.passwords, "mute"), []byte("mute\n"), 0o600))
	g.redis.Do("CONFIG", "SET", "requirepass", "") // keep the default user

	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"an unknown user": {
			append([]string{"worker", "users"}, g.as("nobody")...),
			[]string{"WRONGPASS", "the user nobody", "mailroom acl worker users --user nobody"},
		},
		"another service's user": {
			append([]string{"worker", "echo"}, g.as("items")...),
			[]string{"NOPERM", "the user items the right to XGROUP CREATE on mailroom:{echo}:requests", "mailroom acl worker echo --user items"},
		},
		"a worker's user for the gateway": {
			append([]string{"api", "--auth", "none", "--listen", testsupport.FreeAddr(t)}, g.as("items")...),
			[]string{"NOPERM", "the user items the right to ", "mailroom acl api --user items"},
		},
		"the gateway's user for a worker": {
			append([]string{"worker", "echo"}, g.as("api")...),
			[]string{"NOPERM", "the user api the right to XGROUP CREATE"},
		},
		"an unknown user for the gateway": {
			append([]string{"api", "--auth", "none", "--listen", testsupport.FreeAddr(t)}, g.as("nobody")...),
			[]string{"WRONGPASS", "the user nobody", "mailroom acl api --user nobody"},
		},
		"no right to subscribe": {
			append([]string{"api", "--auth", "none", "--listen", testsupport.FreeAddr(t)}, g.as("mute")...),
			[]string{"NOPERM", "the user mute the right to ", " on mailroom:re"}, // replies or registry
		},
		"no right to answer": {
			append([]string{"worker", "echo"}, g.as("mute")...),
			[]string{"NOPERM", "the user mute the right to PUBLISH on mailroom:replies:echo."},
		},
		"another service's store": {
			append([]string{"worker", "users"}, g.as("items")...),
			[]string{"NOPERM", "the user items the right to ", "mailroom:{users}:"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, printed := start(t, c.args...).ends(10 * time.Second)
			assert.Equal(t, exitFailed, code)
			var failed []string
			for line := range strings.Lines(printed) {
				if !strings.Contains(line, "level=INFO") {
					failed = append(failed, line)
				}
			}
			require.Len(t, failed, 1, printed)
			for _, want := range c.want {
				assert.Contains(t, failed[0], want)
			}
		})
	}
}

func TestRevokedWorkerIsCutOffAndTakenOver(t *testing.T) {
	t.Parallel()
	g := newGuarded(t, "echo")
	g.acl(t, "worker", "echo", "--user", "second")
	g.gateway(t)
	first := g.serving(t, "echo", "echo")
	g.serves(t, 15*time.Second, "/echo/1")
	answered := make(chan string, 1)
	go func() {
		status, header, body := request(t, g.client, http.MethodPost, g.gateways[0]+"/echo/sleep", `{"ms":3000}`)
		answered <- http.StatusText(status) + " " + header.Get("Mailroom-Attempt") + " " + body
	}()
	testsupport.Eventually(t, 5*time.Second, "the request is running", func() bool {
		pending, _ := g.redis.Do("XPENDING", "mailroom:{echo}:requests", "workers").([]any)
		return len(pending) > 0 && pending[0] == int64(1)
	})
	g.serving(t, "second", "echo")
	g.redis.Do("ACL", "DELUSER", "echo")
	code, printed := first.ends(time.Second)
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, printed, "does not accept the user echo")
	assert.Equal(t, 1, strings.Count(printed, "WRONGPASS"), printed)
	assert.Equal(t, `OK 2 {"ok":true,"result":{"slept":3000}}`, <-answered)
}

func TestRevokedGatewayStaysAndComesBack(t *testing.T) {
	t.Parallel()
	g := newGuarded(t, "echo")
	address := testsupport.FreeAddr(t)
	gateway := start(t, append([]string{"api", "--auth", "none", "--listen", address}, g.as("api")...)...)
	g.gateways = []string{"http://" + address}
	g.serving(t, "echo", "echo")
	g.serves(t, 15*time.Second, "/echo/1")
	g.serves(t, 5*time.Second, "/readyz")
	g.redis.Do("ACL", "DELUSER", "api")
	testsupport.Eventually(t, 5*time.Second, "the gateway is not ready", func() bool {
		status, _, body := request(t, g.client, http.MethodGet, g.gateways[0]+"/readyz", "")
		return status == http.StatusServiceUnavailable && strings.Contains(body, "refuses")
	})
	status, _, _ := request(t, g.client, http.MethodGet, g.gateways[0]+"/echo/1", "")
	assert.Equal(t, http.StatusServiceUnavailable, status)
	g.acl(t, "api")
	g.serves(t, 10*time.Second, "/readyz")
	g.serves(t, 10*time.Second, "/echo/1")
	assert.Equal(t, 1, strings.Count(gateway.printed.String(), "Redis refuses this gateway"), gateway.printed.String())
}
