package conformance

import (
	"fmt"
	"slices"
	"strings"

	"github.com/oskadev/mailroom/internal/conformance/suites"
	"github.com/oskadev/mailroom/internal/conformance/trace"
	"github.com/oskadev/mailroom/internal/conformance/worker"
	"github.com/oskadev/mailroom/internal/frames"
)

// withFrames adds frames to a failure.
func (f *failure) withFrames(list ...trace.Frame) *failure {
	for i := range list {
		f.commands = append(f.commands, list[i].String())
	}
	return f
}

// servesFirst demands that each process begins with its serve frame.
func servesFirst(s *stage, _ *suites.RuleCheck) error {
	seen := make(map[int]bool)
	for _, f := range s.trace.AllFrames() {
		if f.Sent && !seen[f.Pid] {
			if seen[f.Pid] = true; f.Kind() != frames.KindServe {
				return failed("a serve frame first", "%s", f.Text).withFrames(f)
			}
		} else if f.Sent && f.Kind() == frames.KindServe {
			return failed("one serve frame", "a second one").withFrames(f)
		}
	}
	if len(seen) == 0 {
		return failed("a serve frame", "no frame of the worker")
	}
	return nil
}

// oneProcess demands that the host did not have to start the worker again.
func oneProcess(s *stage, _ *suites.RuleCheck) error {
	if first, last := s.firstPid(), s.lastPid(); first != last {
		return failed("the process goes on", "it ended, and the host started another one; it printed: %s", s.worker().Printed())
	}
	return nil
}

// onlyFrames demands that the worker sends nothing but frames.
func onlyFrames(s *stage, _ *suites.RuleCheck) error {
	for _, f := range s.trace.AllFrames() {
		if f.Sent && f.Kind() == frames.KindUnknown {
			return failed("only frames on the connection", "%s", f.Text).withFrames(f)
		}
	}
	return nil
}

// oneFinalFrame demands one final frame for each run, and none for others.
func oneFinalFrame(s *stage, _ *suites.RuleCheck) error {
	finals := make(map[string]int) // by process and run
	for _, f := range s.trace.AllFrames() {
		if h := f.FromHost(); h.Run != "" {
			finals[fmt.Sprint(f.Pid, " ", h.Run)] = 0
			continue
		}
		w := f.Parse()
		if w == nil || w.Kind() != frames.KindFinal {
			continue
		}
		run := fmt.Sprint(f.Pid, " ", w.Run)
		n, known := finals[run]
		if finals[run] = n + 1; !known || n > 0 {
			return failed("one final frame for each run", "one more for %q", w.Run).withFrames(f)
		}
	}
	for run, n := range finals {
		if n == 0 {
			return failed("a final frame for each run", "none for run %s", strings.Fields(run)[1])
		}
	}
	return nil
}

// runsOnce demands one run frame for a request.
func runsOnce(s *stage, r *suites.RuleCheck) error {
	runs, err := runsOf(s, r.Request)
	if err == nil && len(runs) != 1 {
		return failed("one run of "+r.Request, "%d", len(runs)).withFrames(runs...)
	}
	return err
}

// runsOf returns the run frames of a request.
func runsOf(s *stage, name string) ([]trace.Frame, error) {
	q, err := s.find(name)
	if err != nil {
		return nil, err
	}
	var runs []trace.Frame
	for _, f := range s.trace.AllFrames() {
		if f.FromHost().ID == q.id {
			runs = append(runs, f)
		}
	}
	return runs, nil
}

// finalOf returns the final frame of a run.
func finalOf(s *stage, run *trace.Frame) *frames.Worker {
	for _, f := range s.trace.AllFrames() {
		if w := f.Parse(); f.Pid == run.Pid && w != nil && w.Kind() == frames.KindFinal && w.Run == run.FromHost().Run {
			return w
		}
	}
	return nil
}

// retries demands that the first run of a request ended with a retry frame.
func retries(s *stage, r *suites.RuleCheck) error {
	runs, err := runsOf(s, r.Request)
	if err != nil {
		return err
	}
	if len(runs) == 0 {
		return failed("a run of "+r.Request, "none")
	}
	if w := finalOf(s, &runs[0]); w == nil || !w.Retry {
		return failed(`{"run":…,"retry":true} for the first run of `+r.Request, "another final frame").withFrames(runs...)
	}
	return nil
}

// reports demands that the worker reported the progress of a run, 1 to 3, before its end.
func reports(s *stage, r *suites.RuleCheck) error {
	runs, err := runsOf(s, r.Request)
	if err != nil {
		return err
	}
	if len(runs) == 0 {
		return failed("a run of "+r.Request, "none")
	}
	var seen []string
	for _, f := range s.trace.AllFrames() {
		w := f.Parse()
		if w == nil || f.Pid != runs[0].Pid || w.Run != runs[0].FromHost().Run {
			continue
		}
		switch w.Kind() { //nolint:exhaustive // others do not matter
		case frames.KindProgress:
			seen = append(seen, canonical(w.Progress))
		case frames.KindFinal:
			if !slices.Equal(seen, []string{"1", "2", "3"}) {
				return failed("the progress 1, 2, 3 before the final frame", "%v", seen).withFrames(f)
			}
			return nil
		}
	}
	return failed("a final frame of "+r.Request, "none")
}

// calls demands a call frame for the run of a request.
func calls(s *stage, r *suites.RuleCheck) error {
	runs, err := runsOf(s, r.Request)
	if err != nil {
		return err
	}
	for _, f := range s.trace.AllFrames() {
		if w := f.Parse(); w != nil && w.Kind() == frames.KindCall && len(runs) > 0 && w.Run == runs[0].FromHost().Run {
			return nil
		}
	}
	return failed("a call frame for the run of "+r.Request, "none")
}

// endsLostRuns demands that the worker ends a run that the host says is lost.
func endsLostRuns(s *stage, r *suites.RuleCheck) error {
	runs, err := runsOf(s, r.Request)
	if err != nil {
		return err
	}
	if len(runs) == 0 {
		return failed("a run of "+r.Request, "none")
	}
	limit := worker.HostDrain / 2
	if gap := r.Gap.Of(s.cfg.IdleLimit); gap > 0 {
		limit = gap
	}
	for _, f := range s.trace.AllFrames() {
		if h := f.FromHost(); h.Lost == "" || h.Lost != runs[0].FromHost().Run {
			continue
		}
		lost := f
		for _, f := range s.trace.AllFrames() {
			if w := f.Parse(); f.Seq > lost.Seq && w != nil && w.Kind() == frames.KindFinal && w.Run == lost.FromHost().Lost {
				if took := f.At.Sub(lost.At); took > limit {
					return failed(fmt.Sprintf("the final frame within %v of lost", limit), "%v", took).withFrames(lost, f)
				}
				return nil
			}
		}
		return failed("the final frame of a lost run", "none").withFrames(lost)
	}
	return failed("a lost frame for "+r.Request, "none")
}

// endsByItself demands that the process ended without a signal of the host.
func endsByItself(s *stage, _ *suites.RuleCheck) error {
	if strings.Contains(s.worker().Printed(), "does not end, sending a signal") {
		return failed("the process ends when its connection ends", "the host had to send it a signal")
	}
	return nil
}

// drains demands that the worker said that it takes no more runs.
func drains(s *stage, _ *suites.RuleCheck) error {
	for _, f := range s.trace.AllFrames() {
		if f.Kind() == frames.KindDrain {
			return nil
		}
	}
	return failed(`{"drain":true} after SIGTERM`, "no such frame")
}
