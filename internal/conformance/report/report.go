package report

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/oskadev/mailroom/internal/conformance"
	"github.com/oskadev/mailroom/internal/conformance/suites"
)

// Known are the names of the checks that are expected to fail.
type Known map[string]bool

// ParseKnown reads names, one a line. A line that begins with # is a comment.
func ParseKnown(text string) (Known, error) {
	known := make(Known)
	for line := range strings.Lines(text) {
		if name, _, _ := strings.Cut(strings.TrimSpace(line), " "); name != "" && !strings.HasPrefix(name, "#") {
			if known[name] {
				return nil, fmt.Errorf("%s is listed twice", name)
			}
			known[name] = true
		}
	}
	return known, nil
}

// Report is the outcome of a run.
type Report struct {
	cfg     conformance.Config
	results []conformance.Result
	known   Known
}

// New returns the report of a run.
func New(cfg conformance.Config, results []conformance.Result, known Known) *Report {
	return &Report{cfg: cfg, results: results, known: known}
}

// verdict returns pass, FAIL, known (it failed as expected) or FIXED (it passed although it
// is listed).
func (r *Report) verdict(result *conformance.Result) string {
	listed := r.known[result.Check.Name]
	switch {
	case result.Passed && listed:
		return "FIXED"
	case result.Passed:
		return "pass"
	case listed:
		return "known"
	default:
		return "FAIL"
	}
}

// count returns the number of results with a verdict.
func (r *Report) count(verdict string) int {
	n := 0
	for i := range r.results {
		if r.verdict(&r.results[i]) == verdict {
			n++
		}
	}
	return n
}

// level returns the highest level whose checks passed, up to the one that was run.
func (r *Report) level() int {
	level := 3
	for i := range r.results {
		if !r.results[i].Passed {
			level = min(level, r.results[i].Check.Level-1)
		}
	}
	if r.cfg.Only != nil {
		return 0 // a part proves no level
	}
	if r.cfg.Level > 0 {
		level = min(level, r.cfg.Level)
	}
	return level
}

// Table prints the results, and for each failure what was expected and what was seen.
func (r *Report) Table(out io.Writer) {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "CHECK\tLEVEL\tRESULT\tTIME")
	for i := range r.results {
		result := &r.results[i]
		_, _ = fmt.Fprintf(table, "%s\t%d\t%s\t%.1fs\n", result.Check.Name, result.Check.Level, r.verdict(result), result.Took.Seconds())
	}
	_ = table.Flush()
	for i := range r.results {
		result := &r.results[i]
		if r.verdict(result) != "FAIL" {
			continue
		}
		_, _ = fmt.Fprintf(out, "\n%s: %s\n  expected %s\n  saw      %s\n", result.Check.Name, result.Check.About, result.Expected, result.Seen)
		for _, line := range result.Commands {
			_, _ = fmt.Fprintln(out, "    "+line)
		}
		for line := range strings.Lines(result.Printed) {
			_, _ = fmt.Fprintln(out, "  | "+strings.TrimSpace(line))
		}
	}
	_, _ = fmt.Fprintf(out, "\n%d checks: %d passed, %d failed, %d known to fail; level %d\n",
		len(r.results), r.count("pass")+r.count("FIXED"), r.count("FAIL"), r.count("known"), r.level())
}

// Err returns an error unless exactly the listed checks failed.
func (r *Report) Err() error {
	var errs []error
	if n := r.count("FAIL"); n > 0 {
		errs = append(errs, fmt.Errorf("%d checks failed", n))
	}
	for i := range r.results {
		if r.verdict(&r.results[i]) == "FIXED" {
			errs = append(errs, fmt.Errorf("%s passed: remove it from the list of known failures", r.results[i].Check.Name))
		}
	}
	for name := range r.known {
		found := slices.ContainsFunc(r.results, func(result conformance.Result) bool { return result.Check.Name == name })
		if !found && r.cfg.Only == nil && r.cfg.Level >= 3 {
			errs = append(errs, fmt.Errorf("%s is listed as a known failure, but there is no such check", name))
		}
	}
	return errors.Join(errs...)
}

type (
	junitSuite struct {
		XMLName  xml.Name    `xml:"testsuite"`
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Skipped  int         `xml:"skipped,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		Time    string        `xml:"time,attr"`
		Failure *junitFailure `xml:"failure,omitempty"`
		Skipped *junitFailure `xml:"skipped,omitempty"`
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// JUnit returns the results as JUnit XML. A known failure is a skipped case.
func (r *Report) JUnit() ([]byte, error) {
	suite := junitSuite{
		Name: "mailroom conformance " + string(r.cfg.Transport), Tests: len(r.results), Failures: r.count("FAIL") + r.count("FIXED"), Skipped: r.count("known"),
	}
	for i := range r.results {
		result := &r.results[i]
		c := junitCase{Class: fmt.Sprintf("L%d", result.Check.Level), Name: result.Check.Name, Time: fmt.Sprintf("%.3f", result.Took.Seconds())}
		detail := &junitFailure{
			Message: "expected " + result.Expected + "; saw " + result.Seen, Text: strings.Join(append(result.Commands, result.Printed), "\n"),
		}
		switch r.verdict(result) {
		case "FAIL":
			c.Failure = detail
		case "known":
			c.Skipped = detail
		case "FIXED":
			c.Failure = &junitFailure{Message: "it passed: remove it from the list of known failures"}
		}
		suite.Cases = append(suite.Cases, c)
	}
	text, err := xml.MarshalIndent(suite, "", "  ")
	return append([]byte(xml.Header), append(text, '\n')...), err
}

// certificate is what a run proves.
type certificate struct {
	Tool      string            `json:"tool"`
	Protocol  string            `json:"protocol"`
	Transport suites.Transport  `json:"transport"`
	Level     int               `json:"level"`
	Date      string            `json:"date"`
	Command   []string          `json:"command"`
	Passed    int               `json:"passed"`
	Failed    int               `json:"failed"`
	Known     int               `json:"known"`
	Checks    map[string]string `json:"checks"`
}

// Certificate returns the certificate as JSON.
func (r *Report) Certificate(tool string, date time.Time) ([]byte, error) {
	hash, err := ProtocolHash()
	if err != nil {
		return nil, err
	}
	c := certificate{
		Tool: "mailroom " + tool, Protocol: hash, Transport: r.cfg.Transport, Level: r.level(),
		Date: date.UTC().Format(time.RFC3339), Command: r.cfg.Command,
		Passed: r.count("pass") + r.count("FIXED"), Failed: r.count("FAIL"), Known: r.count("known"), Checks: make(map[string]string),
	}
	for i := range r.results {
		c.Checks[r.results[i].Check.Name] = strings.ToLower(r.verdict(&r.results[i]))
	}
	text, err := json.MarshalIndent(c, "", "  ")
	return append(text, '\n'), err
}
