package cli

import (
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/testsupport"
)

// Gateways and workers serve the pages of their operators where a flag says, and nowhere
// else.
func TestPagesOfTheOperator(t *testing.T) {
	t.Parallel()
	redis := testsupport.StartRedis(t)
	gateway, gatewayOps, workerOps := testsupport.FreeAddr(t), testsupport.FreeAddr(t), testsupport.FreeAddr(t)
	start(t, "api", "--auth", "none", "--redis", redis.URL(), "--listen", gateway, "--ops-listen", gatewayOps)
	start(t, "worker", "echo", "--redis", redis.URL(), "--ops-listen", workerOps)
	client := newHTTPClient(t)
	get := func(url string) (int, string) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+url, nil)
		require.NoError(t, err)
		response, err := client.Do(request)
		if err != nil {
			return 0, ""
		}
		defer func() { _ = response.Body.Close() }()
		text, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		return response.StatusCode, string(text)
	}
	testsupport.Eventually(t, 20*time.Second, "echo is served", func() bool {
		status, _ := get(gateway + "/echo/1")
		return status == http.StatusOK
	})
	_, text := get(gatewayOps + "/metrics")
	assert.Contains(t, text, `mailroom_requests_total{action="GET_ECHO",code="200",service="echo"} 1`)
	_, text = get(workerOps + "/metrics")
	assert.Contains(t, text, `mailroom_worker_requests_total{action="GET_ECHO",code="200",service="echo"} 1`)
	for _, path := range []string{"/healthz", "/readyz"} {
		for _, address := range []string{gatewayOps, workerOps} {
			status, text := get(address + path)
			assert.Equal(t, http.StatusOK, status, address+path)
			assert.Equal(t, "ok\n", text)
		}
	}
	status, _ := get(gateway + "/metrics")
	assert.Equal(t, http.StatusNotFound, status)

	taken := start(t, "api", "--auth", "none", "--redis", redis.URL(), "--listen", testsupport.FreeAddr(t), "--ops-listen", gatewayOps)
	require.Error(t, <-taken.ended, "an address that was given and is taken")
	taken.ended <- nil
	assert.Contains(t, taken.printed.String(), gatewayOps)
}
