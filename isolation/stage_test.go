package isolation

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/testsupport"
)

// patience is the time limit of a test that waits.
const patience = 30 * time.Second

// stage is a Redis with the users of all roles, a gateway, and the workers of the example services.
type stage struct {
	t         *testing.T
	redis     *testsupport.RedisServer
	passwords string // directory
	keys      wire.Keys
	gateway   *testsupport.Program
	addr      string // of the gateway
	workers   map[string]*testsupport.Program
	client    *http.Client
}

// services are the example services. The service evil has a Redis user and no worker.
func services() []string { return []string{"users", "items", "vouchers", "payments", "echo"} }

// newStage starts everything. args are further ones of mailroom api.
func newStage(t *testing.T, args ...string) *stage {
	t.Helper()
	s := &stage{
		t: t, redis: testsupport.StartRedis(t, "--maxmemory", "512mb", "--proto-max-bulk-len", "20mb"), passwords: filepath.Join(t.TempDir(), "passwords"),
		addr: testsupport.FreeAddr(t), workers: make(map[string]*testsupport.Program), client: newClient(t, ""),
	}
	var err error
	s.keys, err = wire.NewKeys(wire.DefaultNamespace)
	require.NoError(t, err)
	made := []string{"--apply", "--make-password", "--password-dir", s.passwords}
	s.mailroom(append([]string{"acl", "api"}, made...)...)
	s.mailroom(append(append([]string{"acl", "worker", "evil"}, services()...), made...)...)
	s.gateway = s.start("api", append([]string{
		"api", "--auth", "required", "--listen", s.addr, "--versions", "../examples/shop/versions.yaml",
	}, args...)...)
	for _, service := range services() {
		s.workers[service] = s.start(service, "worker", service)
	}
	key := s.key("probe")
	for _, path := range []string{"/users/1", "/items/1", "/vouchers/WELCOME10", "/payments?user_id=1", "/echo/1"} {
		testsupport.Eventually(t, patience, path+" is served", func() bool {
			return s.do(http.MethodGet, path, "", "X-Api-Key: "+key).status == http.StatusOK
		})
	}
	return s
}

func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	require.NoError(t, err)
	return path
}

// start runs mailroom as a Redis user until the test ends.
func (s *stage) start(user string, args ...string) *testsupport.Program {
	s.t.Helper()
	args = append(args, "--redis", "redis://"+user+"@"+s.redis.Addr(), "--redis-password-file", filepath.Join(s.passwords, user))
	return testsupport.StartProgram(s.t, user, []string{asProgram + "=1"}, self(s.t), args...)
}

// mailroom runs a command as an administrator of Redis, and returns what it printed.
func (s *stage) mailroom(args ...string) string {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), self(s.t), append(args, "--redis", s.redis.URL())...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	out, err := cmd.Output()
	require.NoError(s.t, err, "mailroom %s", strings.Join(args, " "))
	return strings.TrimSpace(string(out))
}

// key returns a new API key.
func (s *stage) key(name string, scopes ...string) string {
	s.t.Helper()
	args := []string{"keys", "create", "--name", name}
	for _, scope := range scopes {
		args = append(args, "--scope", scope)
	}
	return s.mailroom(args...)
}

// as returns a Redis client with the rights of a service.
func (s *stage) as(service string) *redis.Client {
	s.t.Helper()
	password, err := os.ReadFile(filepath.Join(s.passwords, service))
	require.NoError(s.t, err)
	return s.connect(service, strings.TrimSpace(string(password)))
}

// admin returns a Redis client with all rights.
func (s *stage) admin() *redis.Client { return s.connect("", "") }

func (s *stage) connect(user, password string) *redis.Client {
	rdb := redis.NewClient(&redis.Options{
		Addr: s.redis.Addr(), Username: user, Password: password, DisableIdentity: true, MaxRetries: -1,
		ReadTimeout: patience, WriteTimeout: patience,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	s.t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// newClient returns an HTTP client with connections of its own, from a loopback address; empty: 127.0.0.1.
func newClient(t *testing.T, from string) *http.Client {
	t.Helper()
	var dialer net.Dialer
	if from != "" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 2048, DialContext: dialer.DialContext}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

// answer is an HTTP answer. Status 0: there was none, and body is the error.
type answer struct {
	status int
	body   string
	header http.Header
}

// do makes a call with headers such as "X-Api-Key: …".
func (s *stage) do(method, path, body string, headers ...string) answer {
	return s.doBy(s.t.Context(), s.client, method, path, body, headers...)
}

func (s *stage) doBy(ctx context.Context, client *http.Client, method, path, body string, headers ...string) answer {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+s.addr+path, strings.NewReader(body))
	if err != nil {
		return answer{body: err.Error()}
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	res, err := client.Do(req)
	if err != nil {
		return answer{body: err.Error()}
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return answer{body: err.Error()}
	}
	return answer{res.StatusCode, string(text), res.Header}
}
