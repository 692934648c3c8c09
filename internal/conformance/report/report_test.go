package report

import (
	"bytes"
	"encoding/json"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/internal/conformance"
	"github.com/oskadev/mailroom/internal/conformance/suites"
)

func results() []conformance.Result {
	return []conformance.Result{
		{Check: suites.Check{Name: "one", Level: 1}, Passed: true, Took: time.Second},
		{Check: suites.Check{Name: "two", Level: 2, About: "About two."}, Expected: "a <reply>", Seen: "none", Commands: []string{"XACK"}, Printed: "boom"},
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, known, err string
		level            int
	}{
		{"a failure", "", "1 checks failed", 1},
		{"a known failure", "# for now\ntwo  with a reason\n", "", 1},
		{"a listed check that passes", "one\ntwo", "one passed: remove it", 1},
		{"an unknown name", "two\nthree", "three is listed", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			known, err := ParseKnown(c.known)
			require.NoError(t, err)
			r := New(conformance.Config{Level: 3, Transport: suites.Native, Command: []string{"worker"}}, results(), known)
			assert.Equal(t, c.level, r.level())
			if c.err == "" {
				assert.NoError(t, r.Err())
			} else {
				assert.ErrorContains(t, r.Err(), c.err)
			}
		})
	}
	_, err := ParseKnown("one\none")
	require.ErrorContains(t, err, "twice")
}

func TestReportFormats(t *testing.T) {
	t.Parallel()
	r := New(conformance.Config{Level: 3, Transport: suites.Native, Command: []string{"worker", "x"}}, results(), nil)
	var table bytes.Buffer
	r.Table(&table)
	assert.Equal(t, `CHECK  LEVEL  RESULT  TIME
one    1      pass    1.0s
two    2      FAIL    0.0s

two: About two.
  expected a <reply>
  saw      none
    XACK
  | boom

2 checks: 1 passed, 1 failed, 0 known to fail; level 1
`, table.String())

	junit, err := r.JUnit()
	require.NoError(t, err)
	assert.Contains(t, string(junit), `<testsuite name="mailroom conformance native" tests="2" failures="1" skipped="0">`)
	assert.Contains(t, string(junit), `<failure message="expected a &lt;reply&gt;; saw none">XACK`)

	text, err := r.Certificate("1.2.3", time.Unix(0, 0))
	require.NoError(t, err)
	var c certificate
	require.NoError(t, json.Unmarshal(text, &c))
	assert.Regexp(t, `^[0-9a-f]{64}$`, c.Protocol)
	c.Protocol = ""
	assert.Equal(t, certificate{
		Tool: "mailroom 1.2.3", Transport: suites.Native, Level: 1, Date: "1970-01-01T00:00:00Z", Command: []string{"worker", "x"},
		Passed: 1, Failed: 1, Checks: map[string]string{"one": "pass", "two": "fail"},
	}, c)
	partial := New(conformance.Config{Level: 3, Only: regexp.MustCompile("one")}, results()[:1], nil)
	assert.Zero(t, partial.level())
}
