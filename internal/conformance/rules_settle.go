package conformance

import (
	"slices"
	"strings"
	"time"

	"github.com/oskadev/mailroom/bus/wire"
)

// evalshaThenEval demands that a script that Redis does not know is sent whole.
func evalshaThenEval(s *stage, _ *RuleCheck) error {
	calls := s.trace.named("settle", "keep", "retire", "release")
	if len(calls) == 0 {
		return failed("calls of scripts", "none")
	}
	for i, c := range calls {
		if c.reply == nil || !strings.HasPrefix(c.reply.text, "NOSCRIPT") {
			continue
		}
		whole := slices.ContainsFunc(calls[i+1:], func(later command) bool { return later.name == "EVAL" && later.script == c.script })
		if !whole {
			return failed("EVAL with the source of "+c.script+".lua after NOSCRIPT", "none").with(c)
		}
	}
	return nil
}

// settledByScript demands that an unsafe request is ended by settle.lua alone.
func settledByScript(s *stage, r *RuleCheck) error {
	q, err := s.find(r.Request)
	if err != nil {
		return err
	}
	found := false
	for _, c := range s.trace.named("settle", "XACK", "XDEL", "PUBLISH") {
		switch {
		case c.script == "settle":
			found = found || slices.Contains(c.args, q.entry)
		case slices.Contains(c.args, q.entry), strings.Contains(c.arg(2), q.id):
			return failed("only settle.lua ends the unsafe request "+q.describe(), "%s", c.String()).with(c)
		}
	}
	if !found {
		return failed("settle.lua ends the unsafe request "+q.describe(), "no such call").with(s.trace.named("settle")...)
	}
	return nil
}

// settledByCommands demands that a safe request is answered, acknowledged and removed, in
// this order.
func settledByCommands(s *stage, r *RuleCheck) error {
	q, err := s.find(r.Request)
	if err != nil {
		return err
	}
	var order []string
	var seen []command
	for _, c := range s.trace.named("PUBLISH", "XACK", "XDEL") {
		if slices.Contains(c.args, q.entry) || c.name == "PUBLISH" && strings.Contains(c.arg(2), q.id) {
			order = append(order, c.name)
			seen = append(seen, c)
		}
	}
	if !slices.Equal(order, []string{"PUBLISH", "XACK", "XDEL"}) {
		return failed("PUBLISH, XACK, XDEL for the safe request "+q.describe(), "%v", order).with(seen...)
	}
	return nil
}

// invalidatesFirst demands that the cache tag is invalidated before the request is settled.
func invalidatesFirst(s *stage, r *RuleCheck) error {
	q, err := s.find(r.Request)
	if err != nil {
		return err
	}
	var set, published, settled *command
	for _, c := range s.trace.all() {
		switch {
		case c.name == "SET" && strings.HasPrefix(c.arg(1), s.keys.Tagged(service, "tag:")):
			set = &c
		case c.name == "PUBLISH" && c.arg(1) == namespace+":dropped:{"+service+"}":
			published = &c
		case c.script == "settle" && slices.Contains(c.args, q.entry) && settled == nil:
			settled = &c
		}
	}
	const expected = "SET …:tag:conformance:1 <new value> XX KEEPTTL and PUBLISH …:dropped:{conformance}, both answered before settle.lua is sent"
	if set == nil || published == nil || settled == nil {
		return failed(expected, "not all of them").with(s.trace.named("SET", "PUBLISH", "settle")...)
	}
	options := strings.ToUpper(strings.Join(set.args[3:], " "))
	switch {
	case set.arg(1) != s.keys.Tagged(service, "tag:conformance:1") || published.arg(2) != "conformance:1":
		return failed("the tag conformance:1", "%s", set.String()).with(*set, *published)
	case !strings.Contains(options, "XX") || !strings.Contains(options, "KEEPTTL"):
		return failed("SET with XX and KEEPTTL", "%s", set.String()).with(*set)
	case set.reply == nil || set.replySeq > settled.seq || published.reply == nil || published.replySeq > settled.seq:
		return failed(expected, "settle.lua before their answers").with(*set, *published, *settled)
	}
	return nil
}

// signsOff demands the order of the end: no more heartbeats and reads, the worker leaves
// the list and tells gateways, settles what ran, and then removes its consumer. A read of
// another connection certainly came later only if it came behind the answer to ZREM.
func signsOff(s *stage, _ *RuleCheck) error {
	var left, told, retired *command
	var lastSettle int
	for _, c := range s.trace.all() {
		switch {
		case c.name == "ZREM" && slices.Contains(c.args, s.registered[0]):
			left = &c
		case left != nil && c.name == "ZADD":
			return failed("no heartbeat after ZREM", "%s", c.String()).with(*left, c)
		case left != nil && c.name == "XREADGROUP" && left.reply != nil && c.seq > left.replySeq:
			return failed("no read after ZREM", "%s", c.String()).with(*left, c)
		case left != nil && c.name == "PUBLISH" && c.arg(1) == s.keys.Registry():
			told = &c
		case c.script == "settle":
			lastSettle = c.seq
		case left != nil && c.script == "retire" && strings.Contains(strings.Join(c.args, " "), s.workerID()):
			retired = &c
		}
	}
	switch {
	case left == nil:
		return failed("ZREM "+s.keys.Workers(service)+" "+s.registered[0], "no such command")
	case told == nil:
		return failed("PUBLISH "+s.keys.Registry()+" "+service+" after ZREM", "no such command").with(*left)
	case lastSettle > 0 && lastSettle < left.seq:
		return failed("the worker leaves the list before it finishes what runs", "ZREM after the last settle.lua").with(*left)
	case retired == nil:
		return failed("retire.lua for the own consumer", "no such call").with(s.trace.named("retire")...)
	case retired.seq < lastSettle:
		return failed("retire.lua after the last settle.lua", "it before").with(*retired)
	}
	consumers, err := s.admin.do("XINFO", "CONSUMERS", s.keys.Requests(service), wire.Group)
	if err != nil {
		return err
	}
	if holds(consumers, s.workerID()) {
		return failed("the consumer "+s.workerID()+" is removed", "it is in the group")
	}
	return nil
}

// noRefusals demands that Redis refused no command of the worker.
func noRefusals(s *stage, _ *RuleCheck) error {
	for _, c := range s.trace.all() {
		if c.reply != nil && c.reply.isError() && (strings.HasPrefix(c.reply.text, "NOPERM") || strings.Contains(c.reply.text, "can't run this command or subcommand")) {
			return failed("only commands that the role of a worker allows", "%s: %s", c.String(), c.reply.text).with(c)
		}
	}
	return nil
}

// deadLetter demands one dead letter with the fields of the request and the reason.
func deadLetter(s *stage, r *RuleCheck) error {
	found, err := s.admin.do("XRANGE", s.keys.Dead(service), "-", "+")
	if err != nil {
		return err
	}
	if len(found.items) != 1 {
		return failed("one dead letter", "%d", len(found.items))
	}
	fields := make(map[string]string)
	words := found.items[0].items[1].words()
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
