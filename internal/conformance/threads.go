package conformance

import (
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/oskadev/mailroom/internal/conformance/suites"
)

// timeslices returns how long and how often each thread of a process group has run, by the
// directories of the threads. It is empty where the system does not tell.
func timeslices(group int) map[string]string {
	ran := make(map[string]string)
	proc := os.DirFS("/proc")
	processes, _ := fs.Glob(proc, "[0-9]*") // the pattern is valid
	for _, process := range processes {
		text, err := fs.ReadFile(proc, process+"/stat")
		if err != nil {
			continue // it has ended
		}
		// The name of the program is in parentheses, and may hold spaces.
		_, rest, _ := strings.Cut(string(text[strings.LastIndexByte(string(text), ')')+1:]), " ")
		if fields := strings.Fields(rest); len(fields) < 3 || fields[2] != strconv.Itoa(group) {
			continue
		}
		threads, _ := fs.Glob(proc, process+"/task/*") // the pattern is valid
		for _, thread := range threads {
			if text, err := fs.ReadFile(proc, thread+"/schedstat"); err == nil {
				ran[thread] = string(text)
			}
		}
	}
	return ran
}

// notesThreads notes how often the threads of the worker have run.
func notesThreads(s *stage, _ *suites.RuleCheck) error {
	s.timeslices = timeslices(s.worker().Pid())
	return nil
}

// blocksThread demands that a thread that runs BLOCK does nothing else. If another request is
// answered before BLOCK can have ended, and only one thread has run since notesThreads, then
// that thread began BLOCK and answered the request.
func blocksThread(s *stage, r *suites.RuleCheck) error {
	q, err := s.find(r.Request)
	if err != nil {
		return err
	}
	var ran []string
	for thread, now := range timeslices(s.worker().Pid()) {
		if s.timeslices[thread] != now {
			ran = append(ran, path.Base(thread))
		}
	}
	if len(ran) != 1 {
		return nil // the worker has several threads, or the system does not tell
	}
	end := q.sent.Add(r.Gap.Of(s.cfg.IdleLimit))
	for _, other := range s.requests {
		replies := s.repliesTo(other.id)
		if other.sent.After(q.sent) && len(replies) > 0 && replies[0].at.Before(end) {
			return failed("BLOCK blocks its thread",
				"the only thread that ran, %s, answered %s %v before the end of BLOCK", ran[0], other.describe(), end.Sub(replies[0].at).Round(time.Millisecond))
		}
	}
	return nil
}
