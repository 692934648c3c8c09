package suites

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSuites(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../docs/reference/conformance.md")
	require.NoError(t, err)
	total := 0
	for transport, least := range map[Transport]int{Native: 65, Frames: 50, Socket: 40} {
		checks, err := Load(transport, 3, time.Second)
		require.NoError(t, err)
		require.GreaterOrEqual(t, len(checks), least)
		total += len(checks)
		names := make(map[string]bool)
		for _, c := range checks {
			assert.False(t, names[c.Name], "%s is there twice", c.Name)
			names[c.Name] = true
			assert.NotEmpty(t, c.Steps, c.Name)
			assert.True(t, strings.HasSuffix(c.About, "."), "%s: %s", c.Name, c.About)
			assert.Contains(t, string(page), fmt.Sprintf("| `%s` | %d | %s | %s |", c.Name, c.Level, column(&c), c.About), "docs/reference/conformance.md")
		}
	}
	t.Logf("%d checks", total)
}

// column returns what the page says of the transports of a check.
func column(c *Check) string {
	columns := map[[3]bool]string{
		{true, true, true}: "all", {true, true, false}: "both", {true, false, false}: "native", {false, true, true}: "frames", {false, true, false}: "child",
	}
	return columns[[3]bool{c.fits(Native), c.fits(Frames), c.fits(Socket)}]
}

func TestSuitesAreReadStrictly(t *testing.T) {
	t.Parallel()
	for text, problem := range map[string]string{
		"level: 1\nchecks: [{name: a, steps: [{begin: {}}]}]":                  `unknown field "begin"`,
		"level: 1\nchecks: [{name: a, steps: [{start: {}, drain: {}}]}]":       "has 2 members, want 1",
		"level: 1\nchecks: [{name: a, steps: [{silent: {to: b, for: soon}}]}]": "soon",
		"level: 1\nchecks: [{name: a, steps: [{silent: {to: b, for: i}}]}]":    "invalid syntax",
		"level: [\n": "",
	} {
		_, err := parse([]byte(text), time.Second)
		require.ErrorContains(t, err, problem, text)
	}
	suite, err := parse([]byte(`{level: 1, checks: [{name: a, steps: [{send: {action: SLEEP, args: [{ms: "${1.5i}"}], deadline: 2i}}]}]}`), 2*time.Second)
	require.NoError(t, err)
	send := suite.Checks[0].Steps[0].Send
	assert.JSONEq(t, `[{"ms":3000}]`, string(send.Args))
	assert.Equal(t, 4*time.Second, send.Deadline.Of(2*time.Second))
}
