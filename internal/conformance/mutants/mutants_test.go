package mutants

import (
	"maps"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/internal/conformance"
	"github.com/oskadev/mailroom/internal/conformance/process"
	"github.com/oskadev/mailroom/internal/conformance/suites"
	"github.com/oskadev/mailroom/testsupport"
)

// fullVariable runs all checks and all mutants if it is "full".
const fullVariable = "MAILROOM_CONFORMANCE"

// nativeMutants are the planted bugs of the native worker, and the check that has to find
// each.
func nativeMutants() map[string]string {
	return map[string]string{
		"always-overlaps":             "append",
		"answers-anywhere":            "foreign-channel",
		"answers-expired":             "expired-safe",
		"answers-twice":               "unsafe-script",
		"announces-once":              "flushall",
		"beats-after-leaving":         "drain",
		"blocks-keeps":                "keep-blocked",
		"blocks-shortly":              "block",
		"changes-scripts":             "unsafe-script",
		"claims-after-outages":        "claims-after-outage",
		"claims-at-once":              "claims-after-start",
		"claims-early":                "kept-by-another",
		"claims-suspects-together":    "one-trial",
		"counts-no-attempts":          "too-many-attempts",
		"deletes-consumer":            "sign-off",
		"dies-at-bad-entries":         "poison",
		"dies-in-panic":               "panic",
		"drops-dead-letters":          "too-many-attempts-safe",
		"ends-at-sigterm":             "sign-off",
		"expires-begun":               "expired-begun-unsafe",
		"fails-without-outcome":       "no-outcome",
		"gets-text":                   "bad-argument",
		"group-at-end":                "early-requests",
		"ignores-bad-entries":         "entry-id",
		"ignores-namespace":           "register",
		"ignores-refusals":            "refused",
		"ignores-slots":               "count-fits-slots",
		"ignores-version":             "other-version",
		"invalidates-late":            "invalidate",
		"invalidates-without-keepttl": "invalidate",
		"keeps-without-outcome":       "no-outcome",
		"leaks-internals":             "panic",
		"loads-scripts":               "scripts",
		"never-evals":                 "echo",
		"never-overlaps":              "overlap",
		"never-retires":               "sign-off-idle",
		"no-cache":                    "register",
		"no-claims":                   "claims",
		"no-details":                  "fail",
		"no-extend":                   "extend",
		"no-hint":                     "register-hint",
		"no-keeps":                    "keep-long",
		"no-lane":                     "register",
		"no-limit":                    "too-big",
		"no-reconnect":                "cut-connections",
		"no-recovery":                 "lost-read",
		"no-request-id":               "fail-request-id",
		"no-tags":                     "touch",
		"no-worker":                   "echo",
		"one-at-a-time":               "parallel",
		"only-acknowledges":           "get",
		"own-clock":                   "clock-of-redis",
		"publishes-large":             "big-safe",
		"publishes-last":              "safe-order",
		"rare-keeps":                  "keep-long",
		"reads-while-draining":        "drain",
		"recovers-running":            "cut-while-running",
		"refuses-unknown-fields":      "unknown-fields",
		"retires-first":               "sign-off",
		"runs-again":                  "settle-answer-lost",
		"runs-suspects-beside":        "runs-alone",
		"runs-expired":                "expired-unsafe",
		"serves-another-service":      "register",
		"settles-by-commands":         "late-outcome-refused",
		"settles-once":                "settle-lost",
		"slow-heartbeat":              "heartbeat",
		"stays-in-list":               "sign-off-idle",
		"stores-for-ever":             "big-safe",
		"takes-any-arguments":         "bad-argument",
		"takes-back":                  "late-outcome-refused",
		"trims":                       "get",
	}
}

// quick are the mutants of the short form.
func quick() []string {
	return []string{
		"ignores-slots", "takes-back", "no-recovery", "trims", "publishes-last", "runs-expired", "loads-scripts", "invalidates-late",
		"two-finals", "prints-on-stdout", "ignores-lost", "dies-at-sigterm",
		"blocks-shortly", "gets-text", "never-overlaps",
	}
}

func isFull() bool { return os.Getenv(fullVariable) == "full" }

func requireRedis(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		if os.Getenv(testsupport.RequireRedisEnv) == "required" {
			t.Fatal(process.ErrNoRedis)
		}
		t.Skip(process.ErrNoRedis)
	}
}

// mutant returns the configuration for a test worker with a bug.
func mutant(transport suites.Transport, bug, only string) conformance.Config {
	return conformance.Config{
		// With the race detector, a process would go on for a second after its exit.
		Command:   []string{"env", "GORACE=atexit_sleep_ms=0", mutantVariable + "=" + string(transport) + ":" + bug, os.Args[0]},
		Transport: transport, Only: regexp.MustCompile(only), IdleLimit: 1500 * time.Millisecond,
	}
}

func TestMutantsAreFound(t *testing.T) {
	t.Parallel()
	requireRedis(t)
	slots := make(chan struct{}, 4)
	for transport, mutants := range map[suites.Transport]map[string]string{suites.Native: nativeMutants(), suites.Frames: frameMutants()} {
		for _, bug := range slices.Sorted(maps.Keys(mutants)) {
			if !isFull() && !slices.Contains(quick(), bug) {
				continue
			}
			t.Run(string(transport)+"/"+bug, func(t *testing.T) {
				t.Parallel()
				slots <- struct{}{}
				defer func() { <-slots }()
				results, err := conformance.Run(t.Context(), mutant(transport, bug, "^"+mutants[bug]+"$"))
				require.NoError(t, err)
				require.Len(t, results, 1)
				assert.False(t, results[0].Passed, "%s does not find %s", mutants[bug], bug)
				assert.Contains(t, results[0].Seen, seenOf()[bug])
				t.Logf("expected %s; saw %s", results[0].Expected, results[0].Seen)
			})
		}
	}
}

// seenOf returns what a report has to say of some bugs.
func seenOf() map[string]string {
	return map[string]string{"serves-another-service": "the worker serves orders, the checks need the service `conformance`"}
}

// TestBlockHasToBlockTheOnlyThread proves that BLOCK is found that only sleeps, in a worker
// with one thread.
func TestBlockHasToBlockTheOnlyThread(t *testing.T) {
	t.Parallel()
	requireRedis(t)
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells which threads ran")
	}
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip(err)
	}
	for how, found := range map[string]bool{"asleep": true, "blocked": false} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			cfg := mutant(suites.Frames, "", "^block$")
			cfg.Command = []string{python, "testdata/one_thread.py", how}
			results, err := conformance.Run(t.Context(), cfg)
			require.NoError(t, err)
			require.Len(t, results, 1)
			assert.Equal(t, found, !results[0].Passed, results[0].Seen)
			if found {
				assert.Contains(t, results[0].Seen, "the only thread that ran")
			}
		})
	}
}

// TestWorkersWithoutBugsPass proves that the test workers fail by their bugs alone. The short
// form runs only the checks that find its mutants.
func TestWorkersWithoutBugsPass(t *testing.T) {
	t.Parallel()
	requireRedis(t)
	for transport, mutants := range map[suites.Transport]map[string]string{suites.Native: nativeMutants(), suites.Frames: frameMutants()} {
		t.Run(string(transport), func(t *testing.T) {
			t.Parallel()
			only := "."
			if !isFull() {
				var names []string
				for _, bug := range quick() {
					if mutants[bug] != "" {
						names = append(names, mutants[bug])
					}
				}
				only = "^(" + strings.Join(names, "|") + ")$"
			}
			results, err := conformance.Run(t.Context(), mutant(transport, "none", only))
			require.NoError(t, err)
			for _, r := range results {
				assert.True(t, r.Passed, "%s: expected %s; saw %s\n%v\n%s", r.Check.Name, r.Expected, r.Seen, r.Commands, r.Printed)
			}
		})
	}
}
