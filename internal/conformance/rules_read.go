package conformance

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/conformance/suites"
	"github.com/oskadev/mailroom/internal/conformance/trace"
	"github.com/oskadev/mailroom/internal/frames"
)

func sha256Hex(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// number returns the number in a text, or 0.
func number(text string) int64 {
	f, _ := strconv.ParseFloat(text, 64)
	return int64(f)
}

// newReads returns the commands that read new requests.
func newReads(s *stage) []trace.Command {
	return slices.DeleteFunc(s.trace.Named("XREADGROUP"), func(c trace.Command) bool { return c.Args[len(c.Args)-1] != ">" })
}

// reads demands reads of the own mailbox as the registered worker, with COUNT.
func reads(s *stage, _ *suites.RuleCheck) error {
	all := newReads(s)
	if len(all) == 0 {
		return failed("reads with XREADGROUP … >", "none")
	}
	for _, c := range all {
		count, counted := c.Option("COUNT")
		switch {
		case c.Arg(2) != wire.Group || c.Arg(3) != s.workerID():
			return failed("reads as GROUP workers "+s.workerID(), "%s", c.String()).with(c)
		case !counted || number(count) < 1:
			return failed("reads with COUNT, the number of free slots", "%s", c.String()).with(c)
		}
	}
	return nil
}

// capacity returns the number of requests that the worker runs at once: the largest COUNT
// of its reads.
func capacity(s *stage) int64 {
	most := int64(0)
	for _, c := range newReads(s) {
		count, _ := c.Option("COUNT")
		most = max(most, number(count))
	}
	return most
}

// countFitsSlots demands that no read asks for more requests than there are free slots. A
// request takes a slot from its delivery until the worker settles it.
func countFitsSlots(s *stage, _ *suites.RuleCheck) error {
	type event struct {
		seq     int
		command *trace.Command
		answer  bool
	}
	var events []event
	all := s.trace.All()
	for i := range all {
		events = append(events, event{all[i].Seq, &all[i], false})
		if all[i].Reply != nil {
			events = append(events, event{all[i].ReplySeq, &all[i], true})
		}
	}
	slices.SortFunc(events, func(a, b event) int { return a.seq - b.seq })
	slots, running := capacity(s), make(map[string]bool)
	for _, e := range events {
		c := e.command
		switch {
		case e.answer && (c.Name == "XREADGROUP" || c.Name == "XCLAIM" || c.Script == "trial"):
			for _, entry := range c.Entries() {
				running[entry] = true
			}
		case !e.answer && (c.Name == "XACK" || c.Name == "XDEL"):
			for _, entry := range c.Args[2:] {
				delete(running, entry)
			}
		case !e.answer && c.Script == "settle":
			_, args := c.ScriptKeys()
			for i := 1; i < len(args); i += 8 {
				delete(running, args[i])
			}
		case !e.answer && c.Name == "XREADGROUP" && c.Args[len(c.Args)-1] == ">":
			count, _ := c.Option("COUNT")
			if free := slots - int64(len(running)); number(count) > free {
				return failed(fmt.Sprintf("COUNT of at most the %d free of %d slots", free, slots), "COUNT %s", count).with(*c)
			}
		}
	}
	return nil
}

// slots returns the number of requests that the worker runs at once.
func slots(s *stage) int64 {
	if s.cfg.Transport == suites.Native {
		return capacity(s)
	}
	for _, f := range s.trace.AllFrames() {
		if w := f.Parse(); w != nil && w.Kind() == frames.KindServe && w.Concurrency != nil {
			return int64(*w.Concurrency)
		}
	}
	return 2 // or more: the default
}

// overlaps demands that the two requests of the check, runs of APPEND with the same key and
// without a lane, report that they overlapped, if the worker has several slots.
func overlaps(s *stage, _ *suites.RuleCheck) error {
	several := slots(s) > 1
	for _, q := range s.requests {
		values := "[1]"
		if several || q.name == "b" {
			values = "[1,2]"
		}
		want := fmt.Sprintf(`{"overlap":%t,"values":%s}`, several, values)
		if err := s.judge(q, &suites.Expect{Result: json.RawMessage(want)}); err != nil {
			return err
		}
	}
	return nil
}

// parallel demands that a worker with several slots runs requests at the same time: all
// requests of the check are answered within the gap.
func parallel(s *stage, r *suites.RuleCheck) error {
	if slots(s) < 2 {
		return nil
	}
	var first, last time.Time
	for _, q := range s.requests {
		if first.IsZero() || q.sent.Before(first) {
			first = q.sent
		}
		for _, reply := range s.repliesTo(q.id) {
			if reply.at.After(last) {
				last = reply.at
			}
		}
	}
	if took, limit := last.Sub(first), r.Gap.Of(s.cfg.IdleLimit); took > limit {
		return failed(fmt.Sprintf("all requests are answered within %v, since a worker with several slots runs them at the same time", limit), "%v", took.Round(time.Millisecond))
	}
	return nil
}

// recoversLostReads demands that the worker lists its own pending entries after a read
// without an answer, before it reads new requests.
func recoversLostReads(s *stage, _ *suites.RuleCheck) error {
	lost := false
	for _, c := range s.trace.Named("XREADGROUP", "XPENDING") {
		switch {
		case c.Name == "XREADGROUP" && c.Lost:
			lost = true
		case !lost:
		case c.Name == "XPENDING" && c.Args[len(c.Args)-1] == s.workerID(), c.Name == "XREADGROUP" && c.Args[len(c.Args)-1] != ">":
			return nil
		case c.Name == "XREADGROUP":
			return failed("XPENDING … "+s.workerID()+" after a lost read, before the next read", "%s", c.String()).with(c)
		}
	}
	return failed("XPENDING … "+s.workerID()+" after a lost read", "no such command").with(s.trace.Named("XPENDING")...)
}

// claimsWhenIdle demands that the worker claims by the idle limit.
func claimsWhenIdle(s *stage, _ *suites.RuleCheck) error {
	limit := s.cfg.IdleLimit.Milliseconds()
	fits := func(text string) bool { ms := number(text); return ms >= limit && ms <= 2*limit }
	trials := trialCalls(s, "take")
	claims := s.trace.Named("XCLAIM")
	if len(claims)+len(trials) == 0 {
		return failed("claims with the idle limit", "no claim")
	}
	for _, c := range trials {
		if _, args := c.ScriptKeys(); !fits(args[2]) {
			return failed(fmt.Sprintf("trial.lua with the idle limit, %d ms", limit), "%s", c.String()).with(c)
		}
	}
	for _, c := range claims {
		if !fits(c.Arg(4)) {
			return failed(fmt.Sprintf("XCLAIM with the idle limit, %d ms", limit), "%s", c.String()).with(c)
		}
		if slices.ContainsFunc(c.Args, func(a string) bool { return strings.EqualFold(a, "JUSTID") || strings.EqualFold(a, "FORCE") }) {
			return failed("XCLAIM that counts the delivery, without JUSTID and FORCE", "%s", c.String()).with(c)
		}
	}
	for _, c := range s.trace.Named("XPENDING") {
		if idle, ok := c.Option("IDLE"); ok && !fits(idle) {
			return failed(fmt.Sprintf("XPENDING with IDLE %d", limit), "%s", c.String()).with(c)
		}
	}
	return nil
}

// keeps demands that the worker keeps a request three times in an idle limit while it runs.
func keeps(s *stage, r *suites.RuleCheck) error {
	q, err := s.find(r.Request)
	if err != nil {
		return err
	}
	var last, settled time.Time
	limit := s.cfg.IdleLimit/3 + max(s.cfg.IdleLimit/4, 150*time.Millisecond)
	var kept []trace.Command
	for _, c := range s.trace.Named("XREADGROUP", "XCLAIM", "trial", "keep", "settle") {
		switch {
		case c.Script == "settle" && slices.Contains(c.Args, q.entry):
			settled = c.Sent
		case c.Script == "keep" && slices.Contains(c.Args, q.entry) && settled.IsZero():
			kept = append(kept, c)
			if gap := c.Sent.Sub(last); gap > limit {
				return failed(fmt.Sprintf("keep.lua with the entry every %v", s.cfg.IdleLimit/3), "a gap of %v", gap.Round(time.Millisecond)).with(kept...)
			}
			last = c.Sent
		case last.IsZero() && slices.Contains(c.Entries(), q.entry):
			last = c.Answered
		}
	}
	if gap := settled.Sub(last); gap > limit || len(kept) == 0 {
		return failed(fmt.Sprintf("keep.lua with the entry every %v until it is settled", s.cfg.IdleLimit/3),
			"%d calls, the last one %v before the end", len(kept), gap.Round(time.Millisecond)).with(kept...)
	}
	return nil
}

// notRead demands that no worker has read a request.
func notRead(s *stage, r *suites.RuleCheck) error {
	q, err := s.find(r.Request)
	if err != nil {
		return err
	}
	for _, c := range s.trace.Named("XREADGROUP", "XCLAIM", "trial") {
		if slices.Contains(c.Entries(), q.entry) {
			return failed("no worker reads "+q.describe(), "%s", c.String()).with(c)
		}
	}
	return nil
}
