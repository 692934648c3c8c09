package otlp

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// env returns a function that reads variables from lines of name=value.
func env(lines ...string) func(string) string {
	return func(name string) string {
		for _, line := range lines {
			if value, found := strings.CutPrefix(line, name+"="); found {
				return value
			}
		}
		return ""
	}
}

const (
	base   = "OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318"
	traces = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=https://other/own?a=b"
)

func TestWithoutAnEndpointTracesAreOff(t *testing.T) {
	t.Parallel()
	for _, lines := range [][]string{
		nil, {"OTEL_SERVICE_NAME=users"}, {base, "OTEL_TRACES_EXPORTER=none"}, {base, traces, "OTEL_SDK_DISABLED=TRUE"}, {"OTEL_EXPORTER_OTLP_ENDPOINT= "},
	} {
		s, err := readSettings(env(lines...))
		require.NoError(t, err, lines)
		assert.Nil(t, s, lines)
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	for want, lines := range map[string][]string{
		"http://collector:4318/v1/traces":     {base},
		"http://collector/otlp/v1/traces":     {"OTEL_EXPORTER_OTLP_ENDPOINT=http://collector/otlp/"},
		"https://other/own?a=b":               {base, traces},
		"http://localhost:4318/v1/traces":     {"OTEL_TRACES_EXPORTER=otlp"},
		"http://user:pw@collector/v1/traces":  {"OTEL_EXPORTER_OTLP_ENDPOINT=http://user:pw@collector"},
		"http://collector:4318/v1/traces?x=1": {"OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318?x=1"},
	} {
		s, err := readSettings(env(lines...))
		require.NoError(t, err, lines)
		assert.Equal(t, want, s.url)
		assert.Equal(t, 10*time.Second, s.timeout)
	}
	s, err := readSettings(env(
		base, "OTEL_EXPORTER_OTLP_HEADERS=a=all", "OTEL_EXPORTER_OTLP_TRACES_HEADERS=authorization=Bearer%20x, b = c,", "OTEL_EXPORTER_OTLP_TIMEOUT=250",
		"OTEL_EXPORTER_OTLP_COMPRESSION=gzip", "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
	))
	require.NoError(t, err)
	assert.Equal(t, map[string][]string{"Authorization": {"Bearer x"}, "B": {"c"}}, map[string][]string(s.headers))
	assert.Equal(t, 250*time.Millisecond, s.timeout)
	assert.True(t, s.gzip)
}

// An error names every variable with a bad value, and repeats no secret.
func TestBadSettings(t *testing.T) {
	t.Parallel()
	_, err := readSettings(env(
		"OTEL_TRACES_EXPORTER=zipkin", "OTEL_EXPORTER_OTLP_ENDPOINT=collector:4318/secret", "OTEL_EXPORTER_OTLP_HEADERS=secret", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=grpc",
		"OTEL_EXPORTER_OTLP_TIMEOUT=1s", "OTEL_EXPORTER_OTLP_COMPRESSION=zstd", "OTEL_EXPORTER_OTLP_CERTIFICATE=/nowhere", "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE=/nowhere",
	))
	require.Error(t, err)
	for _, name := range []string{
		"OTEL_TRACES_EXPORTER", "OTLP_ENDPOINT", "OTLP_HEADERS", "OTLP_TRACES_PROTOCOL", "OTLP_TIMEOUT", "OTLP_COMPRESSION", "OTLP_CERTIFICATE", "OTLP_CLIENT_CERTIFICATE",
	} {
		require.ErrorContains(t, err, name)
	}
	assert.NotContains(t, err.Error(), "secret")
	for _, header := range []string{"a=b%0d%0aX: y", "a b=c", "=c", "a=%zz", "a:=b"} {
		_, err := readSettings(env(base, "OTEL_EXPORTER_OTLP_HEADERS="+header))
		assert.Error(t, err, header)
	}
}
