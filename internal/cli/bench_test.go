package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bench"
	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/registry"
	"github.com/oskadev/mailroom/examples/echo"
	"github.com/oskadev/mailroom/internal/busctx"
	"github.com/oskadev/mailroom/testsupport"
	"github.com/oskadev/mailroom/workers"
)

// benched runs mailroom bench for 50 ms, unless the arguments say otherwise.
func benched(t *testing.T, args ...string) (out, errs string, code int) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	args = append([]string{"bench", "--warmup", "0s", "--duration", "50ms", "--connections", "2"}, args...)
	err := run(t.Context(), args, nil, &stdout, &stderr)
	text := stderr.String()
	if err != nil {
		text += err.Error()
	}
	return stdout.String(), text, exitCode(err)
}

func answering(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

func TestBenchOverHTTP(t *testing.T) {
	t.Parallel()
	url := answering(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		assert.Equal(t, http.MethodPatch, r.Method)
		assert.Equal(t, `{"a":1}`, string(body))
		assert.Equal(t, "x,y", r.Header.Get("X-Test"))
		_, _ = io.WriteString(w, "ok")
	})
	args := []string{url + "/things/1", "--method", "PATCH", "--body", `{"a":1}`, "--header", "X-Test: x,y", "--rate", "200"}
	out, errs, code := benched(t, args...)
	assert.Zero(t, code, errs)
	assert.Contains(t, out, "PATCH "+url+"/things/1\nopen loop, 200/s wanted, 2 connections")
	assert.Contains(t, strings.Join(strings.Fields(out), " "), "answered 10 ")

	out, _, code = benched(t, append(args, "--json")...)
	assert.Zero(t, code)
	var r bench.Result
	require.NoError(t, json.Unmarshal([]byte(out), &r), out)
	assert.Equal(t, int64(10), r.Requests)
	assert.Equal(t, int64(20), r.Bytes)
	assert.Positive(t, r.Latency.P99)
}

func TestBenchFailsWhenEverythingFailed(t *testing.T) {
	t.Parallel()
	url := answering(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	out, errs, code := benched(t, url, "--duration", "1s") // a slow machine needs more than 50 ms
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, errs, "every request failed: status 503")
	assert.Contains(t, out, "status 503", "the table is printed too")
}

func TestBenchOnTheBus(t *testing.T) {
	t.Parallel()
	url := testsupport.Miniredis(t)
	conn, err := bus.Connect(url, bus.Options{})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	service := echo.Service(conn.Redis(), "mailroom")
	go func() { ended <- workers.Run(busctx.With(ctx, conn), workers.Config{}, service) }()
	t.Cleanup(func() {
		stop()
		assert.NoError(t, <-ended)
		_ = conn.Close()
	})
	registry := registry.New(conn, nil)
	testsupport.Eventually(t, 15*time.Second, "echo is served", func() bool {
		_ = registry.Look(t.Context())
		found := registry.Snapshot()["echo"]
		return found != nil && found.Live()
	})
	out, errs, code := benched(t, "--duration", "1s", "--redis", url, "--service", "echo", "--action", "GET_ECHO", "--arg", "1")
	assert.Zero(t, code, errs)
	assert.Contains(t, out, "echo GET_ECHO on the bus, safe")
	out, errs, code = benched(t, "--duration", "1s", "--redis", url, "--service", "echo", "--action", "ECHO", "--arg", `{"a":"b,c"}`)
	assert.Zero(t, code, errs)
	assert.Contains(t, out, "echo ECHO on the bus, unsafe")
	_, errs, code = benched(t, "--duration", "1s", "--redis", url, "--service", "echo", "--action", "ECHO", "--arg", "7")
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, errs, "every request failed: code BAD_REQUEST")
	_, _, code = benched(t, "--duration", "1s", "--redis", url, "--service", "nobody", "--action", "DO")
	assert.Equal(t, exitUndelivered, code)
}

func TestBenchNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	const url = "http://127.0.0.1:1/"
	for want, args := range map[string][]string{
		"no target":                           nil,
		"a URL and --service exclude":         {url, "--service", "echo", "--action", "X"},
		"--service needs --action":            {"--service", "echo"},
		"--action needs --service":            {url, "--action", "X"},
		"--arg needs --service":               {url, "--arg", "1"},
		"--method is for a URL":               {"--service", "echo", "--action", "X", "--method", "GET"},
		"--body is for a URL":                 {"--service", "echo", "--action", "X", "--body", "{}"},
		"--header is for a URL":               {"--service", "echo", "--action", "X", "--header", "A: b"},
		"--connections 0 is not":              {url, "--connections", "0"},
		"--rate -1 is not":                    {url, "--rate=-1"},
		"--rate NaN is not":                   {url, "--rate", "NaN"},
		"--duration 0s is not":                {url, "--duration", "0s"},
		"--warmup -1s is not":                 {url, "--warmup=-1s"},
		"--timeout -1s is negative":           {url, "--timeout=-1s"},
		`--header "no-colon"`:                 {url, "--header", "no-colon"},
		`--method "G T"`:                      {url, "--method", "G T"},
		`URL "localhost:8080": want http://`:  {"localhost:8080"},
		"--connections: expected a valid 64 ": {url, "--connections", "many"},
	} {
		_, errs, code := benched(t, args...)
		assert.Equal(t, exitUsage, code, want)
		assert.Contains(t, errs, want)
	}
}

func TestBenchInterrupted(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	url := answering(t, func(w http.ResponseWriter, _ *http.Request) {
		time.AfterFunc(50*time.Millisecond, interrupt)
		_, _ = io.WriteString(w, "ok")
	})
	var out, errs bytes.Buffer
	err := run(ctx, []string{"bench", url, "--warmup", "0s", "--duration", "1h", "--json"}, nil, &out, &errs)
	require.NoError(t, err)
	var r bench.Result
	require.NoError(t, json.Unmarshal(out.Bytes(), &r))
	assert.True(t, r.Interrupted)
	assert.Positive(t, r.Answered(), "requests before the interrupt count")
	assert.Zero(t, r.Failed)
}
