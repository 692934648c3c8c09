package conformance

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/oskadev/mailroom/bus/wire"
)

// ruleFunc checks the recorded commands or frames.
type ruleFunc func(*stage, *RuleCheck) error

// rules returns the rules by their names.
func rules() map[string]ruleFunc {
	return map[string]ruleFunc{
		"manifest":                 manifestRule,
		"heartbeats":               heartbeats,
		"hint":                     hint,
		"group":                    group,
		"reads":                    reads,
		"count-fits-slots":         countFitsSlots,
		"parallel":                 parallel,
		"evalsha-then-eval":        evalshaThenEval,
		"settled-by-script":        settledByScript,
		"settled-by-commands":      settledByCommands,
		"recovers-lost-reads":      recoversLostReads,
		"claims-when-idle":         claimsWhenIdle,
		"keeps":                    keeps,
		"invalidates-first":        invalidatesFirst,
		"signs-off":                signsOff,
		"not-read":                 notRead,
		"dead-letter":              deadLetter,
		"no-refusals":              noRefusals,
		"serves-first":             servesFirst,
		"one-process":              oneProcess,
		"only-frames":              onlyFrames,
		"one-final-frame":          oneFinalFrame,
		"runs-once":                runsOnce,
		"ends-by-itself":           endsByItself,
		"drains":                   drains,
		"retries":                  retries,
		"reports":                  reports,
		"calls":                    calls,
		"ends-lost-runs":           endsLostRuns,
		"no-more-than-concurrency": noMoreThanConcurrency,
		"notes-threads":            notesThreads,
		"blocks-thread":            blocksThread,
		"overlaps":                 overlaps,
	}
}

// forbiddenCommands demands that the worker sends none of the commands that destroy
// requests or that the role of a worker lacks.
func forbiddenCommands(s *stage, _ *RuleCheck) error {
	forbidden := []string{
		"XTRIM", "XSETID", "XAUTOCLAIM", "SCRIPT", "FLUSHALL", "FLUSHDB", "KEYS", "SCAN", "CONFIG", "MONITOR", "SPUBLISH", "FUNCTION", "FCALL", "DEBUG", "SHUTDOWN",
	}
	for _, c := range s.trace.all() {
		sub := strings.ToUpper(c.arg(1))
		bad := slices.Contains(forbidden, c.name) ||
			c.name == "XGROUP" && sub != "CREATE" ||
			c.name == "XADD" && slices.ContainsFunc(c.args, func(a string) bool { return strings.EqualFold(a, "MAXLEN") || strings.EqualFold(a, "MINID") })
		if bad {
			return failed("no command that destroys requests or that the role of a worker lacks", "%s", c.String()).with(c)
		}
	}
	return nil
}

// ownKeys demands that the worker uses only keys and channels of its service.
func ownKeys(s *stage, _ *RuleCheck) error {
	prefix := s.keys.Tagged(service, "")
	for _, c := range s.trace.all() {
		for _, key := range c.keys() {
			known := c.name == "SADD" && key == s.keys.Services()
			if !known && !strings.HasPrefix(key, prefix) {
				return failed("only keys of the service, "+prefix+"…", "%s", c.String()).with(c)
			}
		}
		for _, channel := range c.channels() {
			own := channel == s.keys.Registry() || channel == namespace+":dropped:{"+service+"}" || s.keys.MayReply(service, channel)
			// A worker whose handlers call services is a caller, too.
			caller := strings.HasPrefix(channel, namespace+":replies:"+service+".")
			if c.name == "PUBLISH" {
				own = own || caller && strings.HasSuffix(channel, ":beat")
			} else {
				own = caller || channel == s.keys.Registry() ||
					strings.HasPrefix(channel, namespace+":flights:") || channel == namespace+":dropped:*"
			}
			if !own {
				return failed("only channels of the service, such as "+namespace+":replies:…:{"+service+"}", "%s", c.String()).with(c)
			}
		}
	}
	return nil
}

// keys returns the keys of a command.
func (c *command) keys() []string {
	switch c.name {
	case "PING", "HELLO", "AUTH", "CLIENT", "SELECT", "TIME", "INFO", "COMMAND", "ECHO", "QUIT", "CLUSTER", "MULTI", "EXEC", "DISCARD",
		"WAIT", "READONLY", "ASKING", "PUBLISH", "SUBSCRIBE", "PSUBSCRIBE", "UNSUBSCRIBE", "PUNSUBSCRIBE", "SCRIPT", "CONFIG", "FLUSHALL":
		return nil
	case "EVAL", "EVALSHA":
		keys, _ := c.scriptKeys()
		return keys
	case "XREADGROUP", "XREAD":
		for i, arg := range c.args {
			if strings.EqualFold(arg, "STREAMS") {
				rest := c.args[i+1:]
				return rest[:len(rest)/2]
			}
		}
		return nil
	case "XGROUP", "XINFO":
		return []string{c.arg(2)}
	case "DEL", "UNLINK", "EXISTS", "MGET":
		return c.args[1:]
	default:
		return []string{c.arg(1)}
	}
}

// channels returns the channels of a command.
func (c *command) channels() []string {
	switch c.name {
	case "PUBLISH":
		return []string{c.arg(1)}
	case "SUBSCRIBE", "PSUBSCRIBE":
		return c.args[1:]
	default:
		return nil
	}
}

// knownScripts demands that the worker runs the scripts of the protocol and no others.
func knownScripts(s *stage, _ *RuleCheck) error {
	for _, c := range s.trace.all() {
		if c.script == "unknown" {
			return failed("scripts of the protocol, byte by byte", "%s", c.String()).with(c)
		}
	}
	return nil
}

// manifestRule demands a manifest that declares the service.
func manifestRule(s *stage, _ *RuleCheck) error {
	_, digest, _ := strings.Cut(s.registered[len(s.registered)-1], " ")
	v, err := s.admin.do("GET", s.keys.Manifest(service, digest))
	if err != nil {
		return err
	}
	if v.null {
		return failed("the manifest at "+s.keys.Manifest(service, digest), "no such key")
	}
	if sum := sha256Hex(v.text); sum != digest {
		return failed("the SHA-256 of the manifest as its digest: "+sum, "%s", digest)
	}
	m, err := wire.ParseManifest([]byte(v.text))
	if err != nil {
		return failed("a valid manifest", "%v", err)
	}
	if m.Service != service {
		return failed("the service "+service, "%s", m.Service)
	}
	return checkActions(m)
}

// checkActions compares the actions of a manifest with the definition of the service.
func checkActions(m *wire.Manifest) error {
	for _, want := range definition() {
		a := m.Action(want.Name)
		if a == nil {
			return failed("the action "+want.Name, "no such action in the manifest")
		}
		got, _ := json.Marshal(declared{a.Name, a.Routes, a.Safe, a.Lane, a.Invalidates, a.Cache != nil})
		if text, _ := json.Marshal(want); string(got) != string(text) {
			return failed("the declaration "+string(text), "%s", got)
		}
		if want.Cached && (a.Cache.TTLMillis != 30_000 || !slices.Equal(a.Cache.Tags, []string{service + ":{0}"})) {
			return failed("CACHED is cached for 30 s under the tag conformance:{0}", "%+v", *a.Cache)
		}
	}
	return nil
}

// declared is what the manifest has to say of an action.
type declared struct {
	Name        string   `json:"name"`
	Routes      []string `json:"routes"`
	Safe        bool     `json:"safe"`
	Lane        string   `json:"lane"`
	Invalidates []string `json:"invalidates"`
	Cached      bool     `json:"cached"`
}

// definition returns the actions of the service.
func definition() []declared {
	unsafe := func(name, path string) declared {
		return declared{Name: name, Routes: []string{"POST /conformance" + path}}
	}
	appends, touch := unsafe("APPEND", "/:key/append"), unsafe("TOUCH", "/:id/touch")
	appends.Lane, touch.Invalidates = service+":{0}", []string{service + ":{0}"}
	return []declared{
		unsafe("ECHO", "/echo"), unsafe("FAIL", "/fail"), unsafe("SLEEP", "/sleep"), unsafe("BLOCK", "/block"),
		unsafe("PANIC", "/panic"), unsafe("BIG", "/big"), unsafe("NOOUTCOME", "/nooutcome"), appends, touch,
		{Name: "GET", Routes: []string{"GET /conformance/:id"}, Safe: true},
		{Name: "CACHED", Routes: []string{"GET /conformance/:id/cached"}, Safe: true, Cached: true},
	}
}

// heartbeats demands heartbeats at least every 1.5 s that are valid for 3 s.
func heartbeats(s *stage, _ *RuleCheck) error {
	beats := s.trace.named("ZADD")
	if len(beats) < 3 {
		return failed("a heartbeat each second", "%d in 3 s", len(beats)).with(beats...)
	}
	for i := 1; i < len(beats); i++ {
		if gap := beats[i].sent.Sub(beats[i-1].sent); gap > 1500*time.Millisecond {
			return failed("a heartbeat each second", "a gap of %v", gap.Round(time.Millisecond)).with(beats[i-1], beats[i])
		}
	}
	for _, b := range beats {
		until := number(b.arg(len(b.args) - 2))
		if valid := time.UnixMilli(until).Sub(b.sent); valid < 1500*time.Millisecond || valid > 3500*time.Millisecond {
			return failed("heartbeats that are valid for 3 s, in the time of Redis", "one for %v", valid.Round(time.Millisecond)).with(b)
		}
	}
	return nil
}

// hint demands that the worker tells gateways of itself.
func hint(s *stage, _ *RuleCheck) error {
	for _, c := range s.trace.named("PUBLISH") {
		if c.arg(1) == s.keys.Registry() && c.arg(2) == service {
			return nil
		}
	}
	return failed("PUBLISH "+s.keys.Registry()+" "+service, "no such command").with(s.trace.named("PUBLISH")...)
}

// group demands that the group is created at 0.
func group(s *stage, _ *RuleCheck) error {
	for _, c := range s.trace.named("XGROUP") {
		if c.arg(2) != s.keys.Requests(service) || c.arg(3) != wire.Group || c.arg(4) != "0" && c.arg(4) != "0-0" {
			return failed("XGROUP CREATE "+s.keys.Requests(service)+" workers 0 MKSTREAM", "%s", c.String()).with(c)
		}
	}
	return nil
}
