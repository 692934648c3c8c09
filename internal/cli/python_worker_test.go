package cli

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/api"
	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/busctx"
	"github.com/oskadev/mailroom/testsupport"
)

// TestPythonWorker proves that docs/reference/protocol.md is enough to write a worker.
func TestPythonWorker(t *testing.T) {
	t.Parallel()
	python := requirePython(t)
	server := testsupport.StartRedis(t)
	base := startGateway(t, server.URL())
	startPython(t, python, server.Addr())
	client := newHTTPClient(t)

	testsupport.Eventually(t, 10*time.Second, "the gateway serves GET /conformance/1", func() bool {
		status, _, _ := request(t, client, http.MethodGet, base+"/conformance/1", "")
		return status == http.StatusOK
	})
	status, header, body := request(t, client, http.MethodGet, base+"/conformance/1", "")
	require.Equal(t, http.StatusOK, status, body)
	require.Equal(t, `{"ok":true,"result":{"id":1}}`, body)
	require.True(t, strings.HasPrefix(header.Get("Mailroom-Worker"), "conformance."), header)

	const text = `{"name":"Öska \"O\"","tags":[1,2.5,null,true],"nested":{"line":"a\nb"}}`
	status, header, body = request(t, client, http.MethodPost, base+"/conformance/echo", text)
	require.Equal(t, http.StatusOK, status, body)
	require.JSONEq(t, `{"ok":true,"result":`+text+`}`, body)
	// Without an X-Request-Id from the caller, the response carries the ID of the request.
	id := header.Get("X-Request-Id")
	require.NoError(t, uuid.Validate(id))
	require.Equal(t, "done", server.Do("HGET", "mailroom:{conformance}:req:"+id, "state"))
	require.Contains(t, server.Do("HGET", "mailroom:{conformance}:req:"+id, "outcome"), body)

	// Longer than a reply line may be: settle.lua stores it in the record, where the gateway reads it.
	large := `{"text":"` + strings.Repeat("x", 2*wire.LargeReply) + `"}`
	status, _, body = request(t, client, http.MethodPost, base+"/conformance/echo", large)
	require.Equal(t, http.StatusOK, status)
	require.JSONEq(t, `{"ok":true,"result":`+large+`}`, body)

	testsupport.Eventually(t, 5*time.Second, "everything is acknowledged and removed", func() bool {
		pending, ok := server.Do("XPENDING", "mailroom:{conformance}:requests", "workers").([]any)
		return ok && pending[0] == int64(0) && server.Do("XLEN", "mailroom:{conformance}:requests") == int64(0)
	})
	require.Equal(t, int64(0), server.Do("EXISTS", "mailroom:{conformance}:dead"))
}

// requirePython returns the path of python3. Without one it skips the test, or fails it where tests must not skip.
func requirePython(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("python3")
	if err == nil {
		return path
	}
	const missing = "this test needs a python3 in PATH; install one, for example: apt-get install python3"
	if os.Getenv(testsupport.RequireRedisEnv) == "required" {
		t.Fatalf("%s (%s=required)", missing, testsupport.RequireRedisEnv)
	}
	t.Skip(missing)
	return ""
}

// startGateway runs a gateway until the test ends and returns its base URL.
func startGateway(t *testing.T, redisURL string) string {
	t.Helper()
	log, _ := testsupport.Logger(t)
	conn, err := bus.Connect(redisURL, bus.Options{Logger: log})
	require.NoError(t, err)
	gateway, err := api.New(busctx.With(t.Context(), conn), api.Config{Logger: log})
	require.NoError(t, err)
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	served := make(chan error, 1)
	go func() { served <- gateway.Serve(ctx, ln) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-served)
		require.NoError(t, conn.Close())
	})
	return "http://" + ln.Addr().String()
}

// startPython runs examples/python/worker.py until the test ends.
func startPython(t *testing.T, python string, args ...string) {
	t.Helper()
	// Its context outlives the test's, so that only the cleanup ends it.
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), python, append([]string{"../../examples/python/worker.py"}, args...)...)
	var printed bytes.Buffer
	cmd.Stdout, cmd.Stderr = &printed, &printed
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // fails only after its end
		_ = cmd.Wait()
		t.Logf("the Python worker printed: %s", &printed)
	})
}

// newHTTPClient makes a client without open connections, which would delay the end of the gateway.
func newHTTPClient(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 15 * time.Second}
}

// request sends one HTTP request; a body is JSON.
func request(t *testing.T, client *http.Client, method, url, body string) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return 0, nil, ""
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := client.Do(req)
	if err != nil {
		t.Error(err)
		return 0, nil, ""
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Error(err)
	}
	return res.StatusCode, res.Header, string(text)
}
