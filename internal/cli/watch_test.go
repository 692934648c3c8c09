package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/testsupport"
)

// An operator sees rates and requests in a terminal, pauses a service, and finds in the
// audit who did that.
func TestOperatingFromTheShell(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1)
	f.worker(t, "echo")
	f.serves(t, 15*time.Second, "/echo/1")
	mailroom := func(args ...string) (string, int) {
		var out, errs bytes.Buffer
		err := run(t.Context(), append(args, "--redis", f.redis.URL()), nil, &out, &errs)
		if err != nil {
			errs.WriteString(err.Error())
		}
		return out.String() + errs.String(), exitCode(err)
	}
	following, stop := context.WithCancel(t.Context())
	defer stop()
	var tail testsupport.Output
	var tails sync.WaitGroup
	tails.Go(func() {
		assert.NoError(t, run(following, []string{"tail", "echo", "--args", "--redis", f.redis.URL()}, nil, &tail, &tail))
	})
	get := func() int {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.gateways[0]+"/echo/7", nil)
		require.NoError(t, err)
		response, err := f.client.Do(r)
		require.NoError(t, err)
		_ = response.Body.Close()
		return response.StatusCode
	}
	testsupport.Eventually(t, 20*time.Second, "tail prints a request", func() bool {
		get()
		return strings.Contains(tail.String(), "GET_ECHO") && strings.Contains(tail.String(), "[7]")
	})
	stop()
	tails.Wait()

	testsupport.Eventually(t, 20*time.Second, "top counts requests", func() bool {
		get()
		text, code := mailroom("top", "--once", "--json")
		require.Zero(t, code, text)
		var rows []topRow
		require.NoError(t, json.Unmarshal([]byte(text), &rows), text)
		return len(rows) == 1 && rows[0].Service == "echo" && rows[0].Workers == 1 && rows[0].Rate > 0
	})
	text, code := mailroom("top", "--once")
	assert.Zero(t, code)
	assert.Contains(t, text, "echo")
	assert.NotContains(t, text, "\x1b", "one look clears no screen")

	text, code = mailroom("pause", "echo")
	assert.Zero(t, code)
	assert.Contains(t, text, "callers get 503")
	testsupport.Eventually(t, 20*time.Second, "calls are refused", func() bool { return get() == http.StatusServiceUnavailable })
	text, _ = mailroom("top", "--once")
	assert.Contains(t, text, "paused")
	_, code = mailroom("resume", "echo")
	assert.Zero(t, code)
	testsupport.Eventually(t, 20*time.Second, "calls are answered", func() bool { return get() == http.StatusOK })
	text, code = mailroom("resume", "echo")
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, text, "was not paused")

	text, code = mailroom("audit")
	assert.Zero(t, code)
	assert.Regexp(t, `(?s)@\S+ +resume +echo.*pause +echo`, text)
	_, code = mailroom("top", "--interval", "1ms")
	assert.Equal(t, exitUsage, code)
}
