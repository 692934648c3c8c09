package conformance

import (
	"slices"
	"time"

	"github.com/oskadev/mailroom/internal/conformance/suites"
	"github.com/oskadev/mailroom/internal/conformance/trace"
)

// trialCalls returns the calls of trial.lua with one of these steps.
func trialCalls(s *stage, steps ...string) []trace.Command {
	return slices.DeleteFunc(s.trace.Named("trial"), func(c trace.Command) bool {
		_, args := c.ScriptKeys()
		return len(args) < 3 || !slices.Contains(steps, args[1])
	})
}

// oneTrial demands that the worker claims suspects by trial.lua, and ends each trial before
// it claims the next one. All requests of the check are suspects.
func oneTrial(s *stage, _ *suites.RuleCheck) error {
	const expected = "trial.lua claims a suspect after the trial of the one before"
	for _, c := range s.trace.Named("XCLAIM") {
		if len(c.Entries()) > 0 {
			return failed(expected, "%s", c.String()).with(c)
		}
	}
	trying, tried := "", 0
	for _, c := range trialCalls(s, "take", "end") {
		_, args := c.ScriptKeys()
		entries := c.Entries()
		switch {
		case args[1] == "end" && args[2] == trying:
			trying = ""
		case len(entries) == 0:
		case trying != "":
			return failed(expected, "%s was still on trial", trying).with(c)
		default:
			trying = entries[0]
			tried++
		}
	}
	if tried < len(s.requests) {
		return failed("a trial of each of the suspects", "%d trials of %d suspects", tried, len(s.requests))
	}
	return nil
}

// runsAlone demands that the worker runs a request alone: the others have been settled when
// its run begins, and until its trial ends the worker reads nothing.
func runsAlone(s *stage, r *suites.RuleCheck) error {
	q, err := s.find(r.Request)
	if err != nil {
		return err
	}
	running := make(map[string]bool)
	var began time.Time
	for _, c := range s.trace.All() {
		_, args := c.ScriptKeys()
		trial := c.Script == "trial" && len(args) > 2 && args[2] == q.entry
		switch {
		case trial && args[1] == "begin":
			if began = c.Sent; len(running) > 0 {
				return failed("nothing runs beside "+q.describe(), "%d requests do", len(running)).with(c)
			}
		case trial && args[1] == "end", c.Script == "settle" && slices.Contains(args, q.entry):
			if began.IsZero() {
				return failed("trial.lua with begin before "+q.describe()+" runs", "%s", c.String()).with(c)
			}
			return nil
		case !began.IsZero() && (c.Name == "XREADGROUP" || c.Name == "XCLAIM"):
			return failed("the worker reads nothing while it runs a request alone", "%s", c.String()).with(c)
		}
		for _, entry := range c.Entries() {
			running[entry] = c.Name == "XREADGROUP"
		}
		for _, arg := range c.Args {
			if c.Script == "settle" || c.Name == "XDEL" {
				delete(running, arg)
			}
		}
		delete(running, q.entry)
	}
	return failed(q.describe()+" runs alone", "it does not run")
}
