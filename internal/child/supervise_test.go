package child

import (
	"context"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/internal/host"
	"github.com/oskadev/mailroom/testsupport"
)

// supervised is a running supervisor.
type supervised struct {
	logs   *testsupport.Logs
	cancel context.CancelFunc
	ended  chan error
}

// stop stops the supervisor and returns its error.
func (s *supervised) stop() error {
	s.cancel()
	return <-s.ended
}

// supervise runs a shell script as a child until the test ends it.
func supervise(t *testing.T, script string, change ...func(*Config)) *supervised {
	t.Helper()
	log, logs := testsupport.Logger(t)
	conn, err := bus.Connect(testsupport.Miniredis(t), bus.Options{Logger: log})
	require.NoError(t, err)
	h := host.New(host.Config{Conn: conn, Log: log, DrainLimit: time.Second})
	cfg := Config{Command: []string{"sh", "-c", script}, Host: h, Log: log}
	for _, f := range change {
		f(&cfg)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Supervise(ctx, cfg) }()
	t.Cleanup(func() {
		cancel()
		h.Close()
		_ = conn.Close()
	})
	return &supervised{logs, cancel, ended}
}

const serve = `echo '{"serve":{"service":"greet","actions":[{"name":"HELLO"}]}}'; `

func TestChildThatEndsIsStartedAgain(t *testing.T) {
	t.Parallel()
	s := supervise(t, serve+`echo started; exit 3`)
	s.logs.Wait(t, "exit status 3")
	s.logs.Wait(t, "retry_in=200ms")
	require.NoError(t, s.stop())
	assert.GreaterOrEqual(t, strings.Count(s.logs.String(), "line=started"), 2)
}

func TestChildThatDoesNotDeclareItsService(t *testing.T) {
	t.Parallel()
	s := supervise(t, `cat`, func(c *Config) { c.StartLimit = 50 * time.Millisecond })
	s.logs.Wait(t, "no serve frame within 50ms")
	require.NoError(t, s.stop())
}

// Long lines and lines without an end are logged in part, and change nothing.
func TestOutputOfAChild(t *testing.T) {
	t.Parallel()
	s := supervise(t, `head -c 6000000 /dev/zero | tr '\0' x; echo; echo '{"level":"info"}'; `+serve+`
		head -c 40000 /dev/zero | tr '\0' y >&2; echo >&2; echo after >&2; printf last >&2; cat >/dev/null`)
	s.logs.Wait(t, "worker started")
	s.logs.Wait(t, `line="{\"level\":\"info\"}"`)
	s.logs.Wait(t, "line=after")
	require.NoError(t, s.stop())
	assert.Contains(t, s.logs.String(), "line=last")
	assert.Less(t, len(s.logs.String()), 60_000)
}

func TestManifestThatIsFaultyEndsTheSupervisor(t *testing.T) {
	t.Parallel()
	s := supervise(t, `echo '{"serve":{"service":"Greet","actions":[]}}'; cat`)
	assert.ErrorContains(t, <-s.ended, `service name "Greet"`)
}

// Processes that the child started end with it.
func TestDescendantsOfAChildEnd(t *testing.T) {
	t.Parallel()
	s := supervise(t, `sleep 300 & echo "$! is the sleeper"; `+serve+`cat >/dev/null`)
	line := s.logs.Wait(t, "is the sleeper")
	s.logs.Wait(t, "worker started")
	require.NoError(t, s.stop())
	_, rest, _ := strings.Cut(line, `line="`)
	text, _, _ := strings.Cut(rest, " ")
	pid, err := strconv.Atoi(text)
	require.NoError(t, err)
	testsupport.Eventually(t, 10*time.Second, "the descendant has ended", func() bool { return syscall.Kill(pid, 0) != nil })
}
