package cli

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/api"
	"github.com/oskadev/mailroom/testsupport"
)

func TestDev(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var out, errs testsupport.Output
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, []string{"--listen", "127.0.0.1:0"}, nil, &out, &errs) }()
	var base string
	testsupport.Eventually(t, 15*time.Second, "the greeting is printed", func() bool {
		base = regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindString(out.String())
		return base != ""
	})
	client := newHTTPClient(t)
	for _, c := range []struct {
		method, path, body string
		status             int
		text               string
	}{
		{"GET", "/users/1", "", 200, `"name":"Oska"`},
		{"GET", "/users", "", 200, `"users":[`},
		{"GET", "/users/count", "", 200, `"count":2`},
		{"POST", "/users", `{"name":"Ada","email":"ada@example.com"}`, 201, `"id":3`},
		{"PUT", "/users/3", `{"name":"Ada L."}`, 200, `"name":"Ada L."`},
		{"PATCH", "/users/3", `{"email":"al@example.com"}`, 200, `"email":"al@example.com"`},
		{"DELETE", "/users/3", "", 200, `"deleted":true`},
		{"GET", "/users/3", "", 404, "NOT_FOUND"},
		{"POST", "/users/2/suspend", "", 200, `"status":"suspended"`},
		{"GET", "/users/1/purchasable", "", 200, `"purchasable":true`},
		{"GET", "/users/2/purchasable", "", 403, "USER_SUSPENDED"},
		{"GET", "/users/abc", "", 400, "BAD_REQUEST"},
		{"GET", "/nope", "", 404, "NOT_FOUND"},
		{"POST", "/users/1", "{}", 405, "METHOD_NOT_ALLOWED"},
		{"POST", "/echo/panic", "", 500, "INTERNAL"},
		{"GET", "/echo/7", "", 200, `{"ok":true,"result":{"id":7,"name":"Oska","email":"oska@example.com"}}`},
		{"POST", "/echo/exit", "", 405, "METHOD_NOT_ALLOWED"},
		{"POST", "/payments", `{"user_id":1,"item_id":1,"gateway":"A","amount":100}`, 201, `"gateway":"A"`},
	} {
		status, _, body := request(t, client, c.method, base+c.path, c.body)
		assert.Equal(t, c.status, status, "%s %s: %s", c.method, c.path, body)
		assert.Contains(t, body, c.text, "%s %s", c.method, c.path)
	}
	stop()
	require.NoError(t, <-ended)
	_, err := client.Get(base + "/healthz") //nolint:noctx,bodyclose // it fails
	require.Error(t, err)
}

func config(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "mailroom.yaml")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

// listens returns the error of an api that cannot listen on its address. The
// error contains the address.
func listens(t *testing.T, args, env []string) string {
	t.Helper()
	var out bytes.Buffer
	err := run(t.Context(), append([]string{"api", "--auth", "none"}, args...), env, &out, &out)
	require.Error(t, err)
	return err.Error()
}

func TestFlagsWinOverEnvironmentOverFile(t *testing.T) {
	t.Parallel()
	file := config(t, "listen: 256.0.0.1:3\nlog-level: warn\n")
	flag, env := []string{"--listen", "256.0.0.1:1"}, []string{"MAILROOM_LISTEN=256.0.0.1:2", "HOME=/"}
	withFile := []string{"--config", file}
	assert.Contains(t, listens(t, append(flag, withFile...), env), "256.0.0.1:1")
	assert.Contains(t, listens(t, withFile, env), "256.0.0.1:2")
	assert.Contains(t, listens(t, withFile, nil), "256.0.0.1:3")
	assert.Contains(t, listens(t, nil, []string{"MAILROOM_CONFIG=" + file}), "256.0.0.1:3")
}

func TestListsOfSettings(t *testing.T) {
	t.Parallel()
	bad := func(args, env []string) string {
		var out bytes.Buffer
		err := run(t.Context(), append([]string{"dev", "--listen", "127.0.0.1:0"}, args...), env, &out, &out)
		require.Error(t, err)
		assert.Equal(t, exitUsage, exitCode(err))
		return err.Error()
	}
	for name, told := range map[string]string{
		"file":        bad([]string{"--config", config(t, "limit:\n  - 1/s per one\n  - 2/s per other\n")}, nil),
		"environment": bad(nil, []string{"MAILROOM_LIMIT=1/s per one; 2/s per other"}),
		"flags":       bad([]string{"--limit", "1/s per one", "--limit", "2/s per other"}, nil),
	} {
		assert.Contains(t, told, `"one"`, name)
		assert.Contains(t, told, `"other"`, name+": all faults are told")
	}
	assert.Contains(t, bad([]string{"--config", config(t, "in-flight: [1, 2]\n")}, nil), "in-flight")
}

func TestBadSettingsAreNamed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		args []string
		env  []string
		want string
	}{
		{"flag", []string{"api", "--lisen", "x"}, nil, "--lisen"},
		{"command", []string{"sevices"}, nil, "sevices"},
		{"value", []string{"api", "--auth", "none", "--body-limit", "many"}, nil, "--body-limit"},
		{"value out of range", []string{"api", "--auth", "none", "--listen", "127.0.0.1:0", "--body-limit=-1"}, nil, "body limit"},
		{"variable's value", []string{"api"}, []string{"MAILROOM_LOG_LEVEL=loud"}, "--log-level"},
		{"key", []string{"worker", "--config", config(t, "conccurrency: 3\n")}, nil, "conccurrency"},
		{"nested key", []string{"api", "--config", config(t, "listen:\n  port: 3\n")}, nil, "listen"},
		{"file", []string{"api", "--config", "/does/not/exist.yaml"}, nil, "/does/not/exist.yaml"},
		{"YAML", []string{"api", "--config", config(t, "listen: [\n")}, nil, "mailroom.yaml"},
		{"Redis URL", []string{"api", "--auth", "none", "--redis", "http://u:canary@h"}, nil, "unknown scheme"},
		{"gateway's cache URL", []string{"api", "--auth", "none", "--cache-redis", "http://u:canary@h"}, nil, "--cache-redis"},
		{"worker's cache URL", []string{"worker", "--cache-redis", "http://u:canary@h"}, nil, "--cache-redis"},
		{"service", []string{"worker", "nobody"}, nil, `"nobody"`},
		{"idle limit", []string{"worker", "--idle-limit", "soon"}, nil, "--idle-limit"},
		{"limit", []string{"api", "--auth", "none", "--limit", "5/s per person"}, nil, "person"},
		{"size limit", []string{"api", "--auth", "none", "--size-limit", "POST /a request=x"}, nil, "--size-limit"},
		{"trusted proxy", []string{"api", "--auth", "none", "--trusted-proxy", "10.0.0/8"}, nil, "--trusted-proxy"},
		{"origin", []string{"api", "--auth", "none", "--cors-origin", "app.example.com"}, nil, "app.example.com"},
		{"half a certificate", []string{"api", "--auth", "none", "--tls-cert", "cert.pem"}, nil, "TLS"},
		{"certificate", []string{"api", "--auth", "none", "--tls-cert", "/no/cert.pem", "--tls-key", "/no/key.pem"}, nil, "/no/cert.pem"},
		{"in flight", []string{"api", "--auth", "none", "--in-flight", "0"}, nil, "--in-flight"},
		{"a key where none belongs", []string{"keys", "list", "mk_canary"}, nil, "mk_…"},
		{"rate of no-cache", []string{"api", "--auth", "none", "--no-cache-rate", "often"}, nil, "--no-cache-rate"},
		{"rate of no-cache below zero", []string{"api", "--auth", "none", "--no-cache-rate", "-1/s"}, nil, "--no-cache-rate"},
		{"life of streams", []string{"api", "--auth", "none", "--stream-life", "0s"}, nil, "--stream-life"},
		{"streams", []string{"api", "--auth", "none", "--streams", "0"}, nil, "--streams"},
		{"connections of an address", []string{"api", "--auth", "none", "--address-connections=-1"}, nil, "address connections"},
		{"all networks", []string{"api", "--auth", "none", "--trusted-proxy", "0.0.0.0/0"}, nil, "--trusted-proxy"},
		{"auth", []string{"api", "--auth", "maybe"}, nil, "--auth"},
		{"auth's variable", []string{"api"}, []string{"MAILROOM_AUTH=maybe"}, "--auth"},
		{"auth's key", []string{"api", "--config", config(t, "auth: maybe\n")}, nil, "--auth"},
		{"no auth", []string{"api"}, nil, "--auth required"},
		{"no auth at a gateway, whatever a worker has", []string{"api", "--config", config(t, "concurrency: 3\n")}, nil, "--auth none"},
		{"half of what tokens need", []string{"api", "--auth", "required", "--jwt-issuer", "i"}, nil, "audience"},
		{"a JWKS in the clear", []string{"api", "--auth", "required", "--jwt-issuer", "i", "--jwt-audience", "a", "--jwt-jwks", "http://u:canary@h/"}, nil, "https://"},
		{"a token's algorithm", []string{"api", "--auth", "required", "--jwt-issuer", "i", "--jwt-audience", "a", "--jwt-jwks", "f", "--jwt-algorithms", "RS256,none"}, nil, "none"},
		{"a new key's name is not taken from elsewhere", []string{"keys", "create"}, []string{"MAILROOM_NAME=x"}, "--name"},
		{"a new key's scope", []string{"keys", "create", "--name", "x", "--scope", "a b"}, nil, `"a b"`},
		{"a new key's time", []string{"keys", "create", "--name", "x", "--expires=-1h"}, nil, "--expires"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			err := run(t.Context(), c.args, c.env, &out, &out)
			require.ErrorContains(t, err, c.want)
			assert.Equal(t, exitUsage, exitCode(err))
			assert.NotContains(t, err.Error()+out.String(), "canary")
		})
	}
}

func TestUnknownVariableIsAWarning(t *testing.T) {
	t.Parallel()
	var out, errs bytes.Buffer
	err := run(t.Context(), []string{"services", "--redis", "redis://" + testsupport.FreeAddr(t)},
		[]string{"MAILROOM_REDIS_PASWORD=secret", "MAILROOM_AUTH=none"}, &out, &errs)
	require.Error(t, err) // no server there
	assert.Contains(t, errs.String(), "MAILROOM_REDIS_PASWORD")
	assert.NotContains(t, errs.String(), "MAILROOM_AUTH", "another command has it")
	assert.NotContains(t, errs.String(), "secret")
}

func TestVersionAndHelp(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"version"}, nil, &out, &out))
	assert.Regexp(t, `^mailroom \S+\ncommit   \S+\ngo1\.\S+ \S+\n$`, out.String())
	out.Reset()
	require.NoError(t, run(t.Context(), []string{"api", "--help"}, nil, &out, &out))
	assert.Contains(t, out.String(), "--mailbox-limit")
}

func TestRefusingRedisEndsTheProgram(t *testing.T) {
	t.Parallel()
	evicting := testsupport.StartRedis(t, "--maxmemory-policy", "allkeys-lru")
	locked := testsupport.StartRedis(t)
	locked.Do("ACL", "SETUSER", "default", "resetpass", ">secret")
	for name, c := range map[string]struct{ url, want string }{
		"eviction":       {evicting.URL(), "maxmemory-policy"},
		"wrong password": {"redis://:wrong@" + locked.Addr(), "WRONGPASS"},
	} {
		for _, args := range [][]string{{"api", "--auth", "none", "--listen", "127.0.0.1:0"}, {"worker", "users"}} {
			t.Run(name+" "+args[0], func(t *testing.T) {
				t.Parallel()
				var out testsupport.Output
				err := run(t.Context(), append(args, "--redis", c.url), nil, &out, &out)
				require.ErrorContains(t, err, c.want)
				assert.Equal(t, exitFailed, exitCode(err))
				assert.NotContains(t, err.Error()+out.String(), "wrong@")
			})
		}
	}
}

func TestHealthWithoutRedis(t *testing.T) {
	t.Parallel()
	address := testsupport.FreeAddr(t)
	redis := testsupport.FreeAddr(t)
	p := start(t, "api", "--auth", "none", "--redis", "redis://"+redis, "--listen", address)
	client := newHTTPClient(t)
	testsupport.Eventually(t, 10*time.Second, "the gateway is up", func() bool {
		res, err := client.Get("http://" + address + "/healthz") //nolint:noctx // bounded by the client's timeout
		if err != nil {
			return false
		}
		_ = res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
	for _, path := range []string{"/readyz", "/users/1"} {
		status, header, body := request(t, client, http.MethodGet, "http://"+address+path, "")
		assert.Equal(t, http.StatusServiceUnavailable, status)
		assert.Contains(t, body, "UNAVAILABLE")
		assert.Equal(t, "1", header.Get("Retry-After"))
	}
	testsupport.Eventually(t, 10*time.Second, "the log tells", func() bool {
		return strings.Contains(p.printed.String(), "Redis is unreachable")
	})
	require.NoError(t, p.stop())
}

func TestMinReplicas(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{"0": 0, "2": 2, "all": api.AllReplicas} {
		n, err := parseMinReplicas(text)
		require.NoError(t, err)
		assert.Equal(t, want, n)
	}
	for _, text := range []string{"", "-1", "some", "1.5"} {
		_, err := parseMinReplicas(text)
		require.ErrorContains(t, err, "want all, or a number", text)
	}
}
