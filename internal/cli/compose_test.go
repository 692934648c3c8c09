package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/testsupport"
)

// container is a service of compose.yaml.
type container struct {
	Image       string
	Build       any
	User        string
	Privileged  bool
	ReadOnly    bool     `yaml:"read_only"`
	CapAdd      []string `yaml:"cap_add"`
	CapDrop     []string `yaml:"cap_drop"`
	SecurityOpt []string `yaml:"security_opt"`
	MemLimit    string   `yaml:"mem_limit"`
	CPUs        float64  `yaml:"cpus"`
	PidsLimit   int      `yaml:"pids_limit"`
	NetworkMode string   `yaml:"network_mode"`
	Ports       []string
	Command     []string
	Environment map[string]string
	Healthcheck any
}

// containers reads compose.yaml.
func containers(t *testing.T) map[string]container {
	t.Helper()
	text, err := os.ReadFile("../../compose.yaml")
	require.NoError(t, err)
	var compose struct{ Services map[string]container }
	// A service merges a mapping and replaces some of its keys.
	require.NoError(t, yaml.UnmarshalWithOptions(text, &compose, yaml.AllowDuplicateMapKey()))
	require.NotEmpty(t, compose.Services)
	return compose.Services
}

// Images are built here, or named by an exact version.
var exactVersion = regexp.MustCompile(`^mailroom(-passwords)?:local$|:v?\d+\.\d+\.\d+(-\w+)?$|@sha256:[0-9a-f]{64}$`)

func TestContainersHaveNoMoreThanTheyNeed(t *testing.T) {
	t.Parallel()
	for name, c := range containers(t) {
		assert.True(t, c.ReadOnly, "%s: read_only", name)
		assert.Equal(t, []string{"ALL"}, c.CapDrop, "%s: cap_drop", name)
		assert.Equal(t, []string{"no-new-privileges:true"}, c.SecurityOpt, "%s: security_opt", name)
		assert.Empty(t, c.CapAdd, "%s: cap_add", name)
		assert.False(t, c.Privileged, "%s: privileged", name)
		assert.NotEqual(t, "host", c.NetworkMode, "%s: network_mode", name)
		assert.Regexp(t, `^[1-9]\d*:\d+$`, c.User, "%s: a user by number, other than root", name)
		assert.Regexp(t, `^\d+[mg]$`, c.MemLimit, "%s: mem_limit", name)
		assert.Positive(t, c.CPUs, "%s: cpus", name)
		assert.Positive(t, c.PidsLimit, "%s: pids_limit", name)
		assert.Regexp(t, exactVersion, c.Image, "%s: image", name)
		for _, port := range c.Ports {
			assert.True(t, strings.HasPrefix(port, "127.0.0.1:"), "%s publishes %s beyond this machine", name, port)
		}
	}
}

// The final image is the program and the certificates of authorities, and checks itself.
func TestImage(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../Dockerfile")
	require.NoError(t, err)
	stages := regexp.MustCompile(`(?m)^FROM (\S+).*$`).FindAllStringSubmatchIndex(string(text), -1)
	require.NotEmpty(t, stages)
	for _, stage := range stages[:len(stages)-1] {
		assert.Regexp(t, `:\d+\.\d+(\.\d+)?-\w+$|@sha256:[0-9a-f]{64}$`, string(text[stage[2]:stage[3]]))
	}
	last := stages[len(stages)-1]
	assert.Equal(t, "scratch", string(text[last[2]:last[3]]))
	final := string(text[last[0]:])
	assert.NotContains(t, final, "\nRUN ")
	assert.Contains(t, final, "\nUSER 65532:65532\n")
	assert.Regexp(t, `(?m)^HEALTHCHECK .*CMD \["mailroom", "health"\]$`, final)
	assert.Len(t, regexp.MustCompile(`(?m)^(COPY|ADD) `).FindAllString(final, -1), 2)

	for name, c := range containers(t) {
		if c.Image != "mailroom:local" || c.Healthcheck != nil {
			continue
		}
		assert.True(t, c.Environment["MAILROOM_LISTEN"] != "" || c.Environment["MAILROOM_OPS_LISTEN"] != "", "%s has no address for the health check", name)
	}
}

// Redis replays transactions of its log with the rights of the user default, and drops those
// that it may not run. So this user is off, but has all rights.
func TestRedisOfComposeKeepsTransactionsOverARestart(t *testing.T) {
	t.Parallel()
	script := strings.Join(containers(t)["passwords"].Command, "\n")
	line := regexp.MustCompile(`echo "(user default [^"]*)"`).FindStringSubmatch(script)
	require.NotNil(t, line)
	dir := t.TempDir()
	users := filepath.Join(dir, "users.acl")
	require.NoError(t, os.WriteFile(users, []byte(line[1]+"\nuser admin on nopass ~* &* +@all\n"), 0o600))

	writer := testsupport.StartRedis(t, "--dir", dir, "--appendonly", "yes", "--appendfsync", "always")
	writer.Do("FUNCTION", "LOAD", "#!lua name=two\nredis.register_function('two', function(keys) redis.call('SET', keys[1], 1) redis.call('SET', keys[2], 2) return 'OK' end)")
	writer.Do("FCALL", "two", 2, "{a}1", "{a}2")
	writer.Kill()

	socket := filepath.Join(dir, "redis.sock")
	cmd := exec.CommandContext(t.Context(), "redis-server", "--port", "0", "--unixsocket", socket, "--dir", dir, "--appendonly", "yes", "--save", "", "--aclfile", users)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	client := func(user string) *redis.Client {
		c := redis.NewClient(&redis.Options{Network: "unix", Addr: socket, Username: user, Password: user, MaxRetries: -1, DisableIdentity: true, Protocol: 2})
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	admin := client("admin")
	testsupport.Eventually(t, 10*time.Second, "Redis answers", func() bool {
		_, err := os.Stat(socket) // the client prints connections that fail
		return err == nil && admin.Ping(t.Context()).Err() == nil
	})
	stored, err := admin.MGet(t.Context(), "{a}1", "{a}2").Result()
	require.NoError(t, err)
	assert.Equal(t, []any{"1", "2"}, stored)
	require.ErrorContains(t, client("").Ping(t.Context()).Err(), "NOAUTH")
	require.ErrorContains(t, client("default").Ping(t.Context()).Err(), "WRONGPASS")
}
