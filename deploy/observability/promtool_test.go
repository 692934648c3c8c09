package observability

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPromtoolAcceptsTheFiles(t *testing.T) {
	t.Parallel()
	tool := program(t, "promtool")
	for _, args := range [][]string{
		{"check", "config", "--lint-fatal", "prometheus.yml"},
		{"check", "rules", "--lint-fatal", "rules.yml"},
		{"test", "rules", "rules_test.yml"},
	} {
		out, err := exec.CommandContext(t.Context(), tool, args...).CombinedOutput()
		require.NoError(t, err, "promtool %v: %s", args, out)
	}
}

// The metrics of gateways and workers follow the conventions and are documented.
func TestMetricsOfGatewayAndWorker(t *testing.T) {
	t.Parallel()
	tool := program(t, "promtool")
	s := newStage(t)
	s.traffic()
	documented, err := os.ReadFile("../../docs/reference/metrics.md")
	require.NoError(t, err)
	for _, address := range []string{s.gateway, s.worker} {
		text := read(t, "http://"+address+"/metrics")
		cmd := exec.CommandContext(t.Context(), tool, "check", "metrics")
		cmd.Stdin = bytes.NewReader(text)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "promtool check metrics: %s", out)
		require.Empty(t, string(out))
		families := regexp.MustCompile(`(?m)^# TYPE (mailroom_\S+)`).FindAllSubmatch(text, -1)
		require.NotEmpty(t, families)
		for _, family := range families {
			assert.Contains(t, string(documented), "`"+string(family[1])+"`")
		}
	}
}

func read(t *testing.T, url string) []byte {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	response, err := pages.Do(r)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return text
}
