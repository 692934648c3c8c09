package cli

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/testsupport"
)

// health runs the command and returns its exit code and its error.
func health(t *testing.T, env []string, args ...string) (code int, told string) {
	t.Helper()
	var out bytes.Buffer
	err := run(t.Context(), append([]string{"health"}, args...), env, &out, &out)
	if err == nil {
		assert.Equal(t, "ready\n", out.String())
		return 0, ""
	}
	assert.Empty(t, out.String())
	assert.NotContains(t, err.Error(), "\n", "one line")
	return exitCode(err), err.Error()
}

func TestHealthOfAServer(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/readyz", "/behind/a/proxy/readyz":
			_, _ = fmt.Fprintln(w, "ok")
		case "/moved/readyz":
			http.Redirect(w, r, "/readyz", http.StatusFound)
		case "/envelope/readyz":
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = fmt.Fprint(w, `{"ok":false,"error":{"code":"UNAVAILABLE","message":"Redis is not reachable"}}`)
		case "/lines/readyz":
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = fmt.Fprint(w, "Redis is away\nsecond line")
		default:
			<-r.Context().Done()
		}
	}))
	t.Cleanup(server.Close)
	address := strings.TrimPrefix(server.URL, "http://")
	_, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	free := testsupport.FreeAddr(t)

	for name, c := range map[string]struct {
		env, args []string
		code      int
		told      string
	}{
		"URL":                      {nil, []string{server.URL}, 0, ""},
		"URL with a slash":         {nil, []string{server.URL + "/"}, 0, ""},
		"URL with a path":          {nil, []string{server.URL + "/behind/a/proxy"}, 0, ""},
		"--listen":                 {nil, []string{"--listen", address}, 0, ""},
		"variable":                 {[]string{"MAILROOM_LISTEN=" + address}, nil, 0, ""},
		"all addresses":            {[]string{"MAILROOM_LISTEN=0.0.0.0:" + port}, nil, 0, ""},
		"only a port":              {[]string{"MAILROOM_LISTEN=:" + port}, nil, 0, ""},
		"a worker":                 {[]string{"MAILROOM_OPS_LISTEN=" + address}, nil, 0, ""},
		"the gateway's own wins":   {[]string{"MAILROOM_OPS_LISTEN=" + free, "MAILROOM_LISTEN=" + address}, nil, 0, ""},
		"URL wins":                 {[]string{"MAILROOM_LISTEN=" + free}, []string{server.URL}, 0, ""},
		"moved":                    {nil, []string{server.URL + "/moved"}, exitFailed, "status 302"},
		"not ready, as a gateway":  {nil, []string{server.URL + "/envelope"}, exitFailed, "status 503: Redis is not reachable"},
		"not ready, as a worker":   {nil, []string{server.URL + "/lines"}, exitFailed, "status 503: Redis is away"},
		"nobody listens":           {nil, []string{"http://" + free}, exitFailed, "refused"},
		"no answer":                {nil, []string{server.URL + "/silent", "--timeout", "50ms"}, exitFailed, "no answer within 50ms"},
		"HTTPS to an HTTP server":  {[]string{"MAILROOM_TLS_CERT=x.pem", "MAILROOM_LISTEN=" + address}, nil, exitFailed, "https://"},
		"no URL":                   {nil, []string{"localhost"}, exitUsage, `"localhost" is not a URL`},
		"another scheme":           {nil, []string{"ftp://127.0.0.1"}, exitUsage, "is not a URL"},
		"no host":                  {nil, []string{"http:///readyz"}, exitUsage, "is not a URL"},
		"no address":               {nil, []string{"--listen", "8080"}, exitUsage, "--listen"},
		"no address of a worker":   {nil, []string{"--ops-listen", "8080"}, exitUsage, "--ops-listen"},
		"no time":                  {nil, []string{server.URL, "--timeout", "0s"}, exitUsage, "--timeout 0s"},
		"two URLs":                 {nil, []string{server.URL, server.URL}, exitUsage, "unexpected argument"},
		"a password is not logged": {nil, []string{"http://me:secret@" + free}, exitFailed, "me:xxxxx@"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, told := health(t, c.env, c.args...)
			assert.Equal(t, c.code, code, told)
			assert.Contains(t, told, c.told)
		})
	}
}

// The command checks the address of a gateway with a certificate, which names another host.
// A URL is verified.
func TestHealthOverTLS(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // a client that does not trust the certificate ends its handshake
	server.StartTLS()
	t.Cleanup(server.Close)
	address := strings.TrimPrefix(server.URL, "https://")
	code, told := health(t, nil, "--listen", address, "--tls-cert", "unread.pem")
	assert.Zero(t, code, told)
	code, told = health(t, nil, server.URL)
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, told, "certificate")
}

// Gateways and workers are checked with the settings that they run with.
func TestHealthOfProcesses(t *testing.T) {
	t.Parallel()
	redis := testsupport.StartRedis(t)
	gateway, worker := testsupport.FreeAddr(t), testsupport.FreeAddr(t)
	for _, address := range []string{gateway, worker} {
		code, told := health(t, []string{"MAILROOM_OPS_LISTEN=" + address})
		assert.Equal(t, exitFailed, code, told)
	}
	start(t, "api", "--auth", "required", "--redis", redis.URL(), "--listen", gateway)
	startWith(t, []string{"MAILROOM_OPS_LISTEN=" + worker}, "worker", "echo", "--redis", redis.URL())
	for _, setting := range []string{"MAILROOM_LISTEN=" + gateway, "MAILROOM_OPS_LISTEN=" + worker} {
		testsupport.Eventually(t, 20*time.Second, setting+" is ready", func() bool {
			code, _ := health(t, []string{setting})
			return code == 0
		})
	}
	redis.Kill()
	for _, setting := range []string{"MAILROOM_LISTEN=" + gateway, "MAILROOM_OPS_LISTEN=" + worker} {
		testsupport.Eventually(t, 20*time.Second, setting+" is not ready", func() bool {
			code, told := health(t, []string{setting})
			return code == exitFailed && strings.Contains(told, "status 503")
		})
	}
}
