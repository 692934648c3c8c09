package conformance

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/oskadev/mailroom/internal/frames"
)

// withFrames adds frames to a failure.
func (f *failure) withFrames(list ...frame) *failure {
	for i := range list {
		f.commands = append(f.commands, list[i].String())
	}
	return f
}

// hostFrame is a frame of the host.
type hostFrame struct {
	Run   string `json:"run"`
	ID    string `json:"id"`
	Lost  string `json:"lost"`
	Drain bool   `json:"drain"`
}

func (f *frame) fromHost() (h hostFrame) {
	if !f.sent {
		_ = json.Unmarshal([]byte(f.text), &h) // frames of the suite may be anything
	}
	return h
}

// servesFirst demands that each process begins with its serve frame.
func servesFirst(s *stage, _ *RuleCheck) error {
	seen := make(map[int]bool)
	for _, f := range s.trace.allFrames() {
		if f.sent && !seen[f.pid] {
			if seen[f.pid] = true; f.kind() != frames.KindServe {
				return failed("a serve frame first", "%s", f.text).withFrames(f)
			}
		} else if f.sent && f.kind() == frames.KindServe {
			return failed("one serve frame", "a second one").withFrames(f)
		}
	}
	if len(seen) == 0 {
		return failed("a serve frame", "no frame of the worker")
	}
	return nil
}

// oneProcess demands that the host did not have to start the worker again.
func oneProcess(s *stage, _ *RuleCheck) error {
	if first, last := s.firstPid(), s.lastPid(); first != last {
		return failed("the process goes on", "it ended, and the host started another one; it printed: %s", s.worker().printed())
	}
	return nil
}

// onlyFrames demands that the worker sends nothing but frames.
func onlyFrames(s *stage, _ *RuleCheck) error {
	for _, f := range s.trace.allFrames() {
		if f.sent && f.kind() == frames.KindUnknown {
			return failed("only frames on the connection", "%s", f.text).withFrames(f)
		}
	}
	return nil
}

// oneFinalFrame demands one final frame for each run, and none for others.
func oneFinalFrame(s *stage, _ *RuleCheck) error {
	finals := make(map[string]int) // by process and run
	for _, f := range s.trace.allFrames() {
		if h := f.fromHost(); h.Run != "" {
			finals[fmt.Sprint(f.pid, " ", h.Run)] = 0
			continue
		}
		w := f.parse()
		if w == nil || w.Kind() != frames.KindFinal {
			continue
		}
		run := fmt.Sprint(f.pid, " ", w.Run)
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
func runsOnce(s *stage, r *RuleCheck) error {
	runs, err := runsOf(s, r.Request)
	if err == nil && len(runs) != 1 {
		return failed("one run of "+r.Request, "%d", len(runs)).withFrames(runs...)
	}
	return err
}

// runsOf returns the run frames of a request.
func runsOf(s *stage, name string) ([]frame, error) {
	q, err := s.find(name)
	if err != nil {
		return nil, err
	}
	var runs []frame
	for _, f := range s.trace.allFrames() {
		if f.fromHost().ID == q.id {
			runs = append(runs, f)
		}
	}
	return runs, nil
}

// finalOf returns the final frame of a run.
func finalOf(s *stage, run *frame) *frames.Worker {
	for _, f := range s.trace.allFrames() {
		if w := f.parse(); f.pid == run.pid && w != nil && w.Kind() == frames.KindFinal && w.Run == run.fromHost().Run {
			return w
		}
	}
	return nil
}

// retries demands that the first run of a request ended with a retry frame.
func retries(s *stage, r *RuleCheck) error {
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
func reports(s *stage, r *RuleCheck) error {
	runs, err := runsOf(s, r.Request)
	if err != nil {
		return err
	}
	if len(runs) == 0 {
		return failed("a run of "+r.Request, "none")
	}
	var seen []string
	for _, f := range s.trace.allFrames() {
		w := f.parse()
		if w == nil || f.pid != runs[0].pid || w.Run != runs[0].fromHost().Run {
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
func calls(s *stage, r *RuleCheck) error {
	runs, err := runsOf(s, r.Request)
	if err != nil {
		return err
	}
	for _, f := range s.trace.allFrames() {
		if w := f.parse(); w != nil && w.Kind() == frames.KindCall && len(runs) > 0 && w.Run == runs[0].fromHost().Run {
			return nil
		}
	}
	return failed("a call frame for the run of "+r.Request, "none")
}

// endsLostRuns demands that the worker ends a run that the host says is lost.
func endsLostRuns(s *stage, r *RuleCheck) error {
	runs, err := runsOf(s, r.Request)
	if err != nil {
		return err
	}
	if len(runs) == 0 {
		return failed("a run of "+r.Request, "none")
	}
	limit := hostDrain / 2
	if gap := r.Gap.of(s.cfg.IdleLimit); gap > 0 {
		limit = gap
	}
	for _, f := range s.trace.allFrames() {
		if h := f.fromHost(); h.Lost == "" || h.Lost != runs[0].fromHost().Run {
			continue
		}
		lost := f
		for _, f := range s.trace.allFrames() {
			if w := f.parse(); f.seq > lost.seq && w != nil && w.Kind() == frames.KindFinal && w.Run == lost.fromHost().Lost {
				if took := f.at.Sub(lost.at); took > limit {
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
func endsByItself(s *stage, _ *RuleCheck) error {
	if strings.Contains(s.worker().printed(), "does not end, sending a signal") {
		return failed("the process ends when its connection ends", "the host had to send it a signal")
	}
	return nil
}

// drains demands that the worker said that it takes no more runs.
func drains(s *stage, _ *RuleCheck) error {
	for _, f := range s.trace.allFrames() {
		if f.kind() == frames.KindDrain {
			return nil
		}
	}
	return failed(`{"drain":true} after SIGTERM`, "no such frame")
}

// noMoreThanConcurrency demands that the worker runs several requests at once where it says
// so, and takes at least one.
func noMoreThanConcurrency(s *stage, _ *RuleCheck) error {
	for _, f := range s.trace.allFrames() {
		if w := f.parse(); w != nil && w.Kind() == frames.KindServe && w.Concurrency != nil && (*w.Concurrency < 1 || *w.Concurrency > 10_000) {
			return failed("a concurrency from 1 to 10000", "%d", *w.Concurrency).withFrames(f)
		}
	}
	return nil
}
