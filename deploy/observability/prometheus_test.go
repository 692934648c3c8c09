package observability

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/testsupport"
)

// Every query of the dashboard and of the rules returns data from a real Prometheus that
// scrapes a gateway. A query with a default ("or 0 * …") must return a number above 0.
func TestQueriesReturnData(t *testing.T) {
	t.Parallel()
	binary := program(t, "prometheus")
	s := newStage(t)
	p := startPrometheus(t, binary, s.gateway, s.worker)

	var pending []string
	for _, q := range dashboardQueries(t) {
		q = strings.NewReplacer("$__rate_interval", "30s", "$service", ".*", "$instance", s.gateway).Replace(q)
		require.NotContains(t, q, "$", "a variable that the dashboard does not have")
		pending = append(pending, q)
	}
	comparison := regexp.MustCompile(`\s*(==|>|<)\s*[0-9.]+\s*$`)
	for _, r := range readRules(t) {
		bare := comparison.ReplaceAllString(r.Expr, "")
		require.NotEqual(t, r.Expr, bare, "the rule %s has no comparison", r.Alert)
		pending = append(pending, bare)
	}
	deadline := time.Now().Add(40 * time.Second)
	for len(pending) > 0 && time.Now().Before(deadline) {
		s.traffic()
		pending = slices.DeleteFunc(pending, p.answers)
	}
	require.Empty(t, pending, "these queries return no data")
}

// server is a running Prometheus.
type server struct {
	t    *testing.T
	base string
}

// startPrometheus starts a Prometheus that scrapes the addresses every second and
// evaluates the rules without their "for". It ends with the test.
func startPrometheus(t *testing.T, binary string, targets ...string) *server {
	t.Helper()
	dir := t.TempDir()
	rules, err := os.ReadFile("rules.yml")
	require.NoError(t, err)
	rules = regexp.MustCompile(`(?m)^(\s+for:).*$`).ReplaceAll(rules, []byte("$1 0s"))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "rules.yml"), rules, 0o600))
	config, err := json.Marshal(map[string]any{ // JSON is YAML
		"global":     map[string]string{"scrape_interval": "1s", "evaluation_interval": "1s"},
		"rule_files": []string{"rules.yml"},
		"scrape_configs": []any{map[string]any{
			"job_name": "mailroom", "static_configs": []any{map[string]any{"targets": targets}},
		}},
	})
	require.NoError(t, err)
	file := filepath.Join(dir, "prometheus.yml")
	require.NoError(t, os.WriteFile(file, config, 0o600))

	address := testsupport.FreeAddr(t)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var printed testsupport.Output
	cmd := exec.CommandContext(ctx, binary, "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+address, "--log.level=warn")
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &printed, &printed
	cmd.SysProcAttr = testsupport.DiesWithParent()
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // it was told to end
		if t.Failed() {
			t.Logf("prometheus printed:\n%s", printed.String())
		}
	})
	p := &server{t: t, base: "http://" + address}
	testsupport.Eventually(t, patience, "prometheus scrapes all targets", func() bool {
		samples, err := p.query("up == 1")
		return err == nil && len(samples) == len(targets)
	})
	return p
}

// query returns the samples of an instant query.
func (p *server) query(expr string) ([]float64, error) {
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.base+"/api/v1/query?"+url.Values{"query": {expr}}.Encode(), nil)
	if err != nil {
		return nil, err
	}
	response, err := pages.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	var answer struct {
		Error string
		Data  struct{ Result []struct{ Value [2]any } }
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return nil, err
	}
	if answer.Error != "" {
		return nil, fmt.Errorf("%s: %s", expr, answer.Error)
	}
	var samples []float64
	for _, sample := range answer.Data.Result {
		text, _ := sample.Value[1].(string)
		number, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, err
		}
		samples = append(samples, number)
	}
	return samples, nil
}

// pages reads pages and keeps no connection.
var pages = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}

// answers reports whether a query returns numbers.
func (p *server) answers(expr string) bool {
	p.t.Helper()
	samples, err := p.query(expr)
	require.NoError(p.t, err)
	return slices.ContainsFunc(samples, func(n float64) bool {
		return n > 0 || n <= 0 && !strings.Contains(expr, " or 0 * ") // NaN is neither
	})
}
