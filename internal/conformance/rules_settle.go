package conformance

import (
	"slices"
	"strings"
	"time"

	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/conformance/suites"
	"github.com/oskadev/mailroom/internal/conformance/trace"
)

// evalshaThenEval demands that a script that Redis does not know is sent whole, and that one of
// which it does not know the function is called again.
func evalshaThenEval(s *stage, _ *suites.RuleCheck) error {
	calls := s.trace.Named("settle", "keep", "retire", "release")
	if len(calls) == 0 {
		return failed("calls of scripts", "none")
	}
	for i, c := range calls {
		later := calls[i+1:]
		switch {
		case c.Reply == nil:
		case strings.HasPrefix(c.Reply.Text, "NOSCRIPT"):
			if !slices.ContainsFunc(later, func(l trace.Command) bool { return l.Name == "EVAL" && l.Script == c.Script }) {
				return failed("EVAL with the source of "+c.Script+".lua after NOSCRIPT", "none").with(c)
			}
		case strings.HasPrefix(c.Reply.Text, "ERR Function not found"):
			if !slices.ContainsFunc(later, func(l trace.Command) bool { return l.Script == c.Script }) {
				return failed("another call of "+c.Script+".lua after the error that Redis does not have its function", "none").with(c)
			}
		}
	}
	return nil
}

// settledByScript demands that an unsafe request is ended by settle.lua alone.
func settledByScript(s *stage, r *suites.RuleCheck) error {
	q, err := s.find(r.Request)
	if err != nil {
		return err
	}
	found := false
	for _, c := range s.trace.Named("settle", "XACK", "XDEL", "PUBLISH") {
		switch {
		case c.Script == "settle":
			found = found || slices.Contains(c.Args, q.entry)
		case slices.Contains(c.Args, q.entry), strings.Contains(c.Arg(2), q.id):
			return failed("only settle.lua ends the unsafe request "+q.describe(), "%s", c.String()).with(c)
		}
	}
	if !found {
		return failed("settle.lua ends the unsafe request "+q.describe(), "no such call").with(s.trace.Named("settle")...)
	}
	return nil
}

// settledByCommands demands that a safe request is answered, acknowledged and removed, in
// this order.
func settledByCommands(s *stage, r *suites.RuleCheck) error {
	q, err := s.find(r.Request)
	if err != nil {
		return err
	}
	var order []string
	var seen []trace.Command
	for _, c := range s.trace.Named("PUBLISH", "XACK", "XDEL") {
		if slices.Contains(c.Args, q.entry) || c.Name == "PUBLISH" && strings.Contains(c.Arg(2), q.id) {
			order = append(order, c.Name)
			seen = append(seen, c)
		}
	}
	if !slices.Equal(order, []string{"PUBLISH", "XACK", "XDEL"}) {
		return failed("PUBLISH, XACK, XDEL for the safe request "+q.describe(), "%v", order).with(seen...)
	}
	return nil
}

// invalidatesFirst demands that the cache tag is invalidated before the request is settled.
func invalidatesFirst(s *stage, r *suites.RuleCheck) error {
	q, err := s.find(r.Request)
	if err != nil {
		return err
	}
	var set, published, settled *trace.Command
	for _, c := range s.trace.All() {
		switch {
		case c.Name == "SET" && strings.HasPrefix(c.Arg(1), s.keys.Tagged(suites.Service, "tag:")):
			set = &c
		case c.Name == "PUBLISH" && c.Arg(1) == namespace+":dropped:{"+suites.Service+"}":
			published = &c
		case c.Script == "settle" && slices.Contains(c.Args, q.entry) && settled == nil:
			settled = &c
		}
	}
	const expected = "SET …:tag:conformance:1 <new value> XX KEEPTTL and PUBLISH …:dropped:{conformance}, both answered before settle.lua is sent"
	if set == nil || published == nil || settled == nil {
		return failed(expected, "not all of them").with(s.trace.Named("SET", "PUBLISH", "settle")...)
	}
	options := strings.ToUpper(strings.Join(set.Args[3:], " "))
	switch {
	case set.Arg(1) != s.keys.Tagged(suites.Service, "tag:conformance:1") || published.Arg(2) != "conformance:1":
		return failed("the tag conformance:1", "%s", set.String()).with(*set, *published)
	case !strings.Contains(options, "XX") || !strings.Contains(options, "KEEPTTL"):
		return failed("SET with XX and KEEPTTL", "%s", set.String()).with(*set)
	case set.Reply == nil || set.ReplySeq > settled.Seq || published.Reply == nil || published.ReplySeq > settled.Seq:
		return failed(expected, "settle.lua before their answers").with(*set, *published, *settled)
	}
	return nil
}

// signsOff demands the order of the end: no more heartbeats and reads, the worker leaves
// the list and tells gateways, settles what ran, and then removes its consumer. A read of
// another connection certainly came later only if it came behind the answer to ZREM.
func signsOff(s *stage, _ *suites.RuleCheck) error {
	var left, told, retired *trace.Command
	var lastSettle int
	for _, c := range s.trace.All() {
		switch {
		case c.Name == "ZREM" && slices.Contains(c.Args, s.registered[0]):
			left = &c
		case left != nil && c.Name == "ZADD":
			return failed("no heartbeat after ZREM", "%s", c.String()).with(*left, c)
		case left != nil && c.Name == "XREADGROUP" && left.Reply != nil && c.Seq > left.ReplySeq:
			return failed("no read after ZREM", "%s", c.String()).with(*left, c)
		case left != nil && c.Name == "PUBLISH" && c.Arg(1) == s.keys.Registry():
			told = &c
		case c.Script == "settle":
			lastSettle = c.Seq
		case left != nil && c.Script == "retire" && strings.Contains(strings.Join(c.Args, " "), s.workerID()):
			retired = &c
		}
	}
	switch {
	case left == nil:
		return failed("ZREM "+s.keys.Workers(suites.Service)+" "+s.registered[0], "no such command")
	case told == nil:
		return failed("PUBLISH "+s.keys.Registry()+" "+suites.Service+" after ZREM", "no such command").with(*left)
	case lastSettle > 0 && lastSettle < left.Seq:
		return failed("the worker leaves the list before it finishes what runs", "ZREM after the last settle.lua").with(*left)
	case retired == nil:
		return failed("retire.lua for the own consumer", "no such call").with(s.trace.Named("retire")...)
	case retired.Seq < lastSettle:
		return failed("retire.lua after the last settle.lua", "it before").with(*retired)
	}
	consumers, err := s.admin.Do("XINFO", "CONSUMERS", s.keys.Requests(suites.Service), wire.Group)
	if err != nil {
		return err
	}
	if consumers.Holds(s.workerID()) {
		return failed("the consumer "+s.workerID()+" is removed", "it is in the group")
	}
	return nil
}

// noRefusals demands that Redis refused no command of the worker.
func noRefusals(s *stage, _ *suites.RuleCheck) error {
	for _, c := range s.trace.All() {
		if c.Reply != nil && c.Reply.IsError() && (strings.HasPrefix(c.Reply.Text, "NOPERM") || strings.Contains(c.Reply.Text, "can't run this command or subcommand")) {
			return failed("only commands that the role of a worker allows", "%s: %s", c.String(), c.Reply.Text).with(c)
		}
	}
	return nil
}

// deadLetter demands one dead letter with the fields of the request and the reason.
func deadLetter(s *stage, r *suites.RuleCheck) error {
	found, err := s.admin.Do("XRANGE", s.keys.Dead(suites.Service), "-", "+")
	if err != nil {
		return err
	}
	if len(found.Items) != 1 {
		return failed("one dead letter", "%d", len(found.Items))
	}
	fields := make(map[string]string)
	words := found.Items[0].Items[1].Words()
	for i := 0; i+1 < len(words); i += 2 {
		fields[words[i]] = words[i+1]
	}
	now, err := s.now()
	if err != nil {
		return err
	}
	id := fields["id"]
	if q := s.requests[r.Request]; q != nil {
		id = q.id
	}
	at := number(fields["dead_at"])
	if fields["id"] != id || fields["action"] == "" || fields["error"] == "" || number(fields["attempts"]) < 1 || at > now || at < now-time.Minute.Milliseconds() {
		return failed("a dead letter with the fields of the request, then error, attempts and dead_at", "%v", fields)
	}
	return nil
}
