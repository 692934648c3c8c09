package conformance

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/conformance/suites"
)

// ruleFunc checks the recorded commands or frames.
type ruleFunc func(*stage, *suites.RuleCheck) error

// rules returns the rules by their names.
func rules() map[string]ruleFunc {
	return map[string]ruleFunc{
		"manifest":            manifestRule,
		"heartbeats":          heartbeats,
		"hint":                hint,
		"group":               group,
		"reads":               reads,
		"count-fits-slots":    countFitsSlots,
		"parallel":            parallel,
		"evalsha-then-eval":   evalshaThenEval,
		"settled-by-script":   settledByScript,
		"settled-by-commands": settledByCommands,
		"recovers-lost-reads": recoversLostReads,
		"claims-when-idle":    claimsWhenIdle,
		"one-trial":           oneTrial,
		"runs-alone":          runsAlone,
		"keeps":               keeps,
		"invalidates-first":   invalidatesFirst,
		"signs-off":           signsOff,
		"not-read":            notRead,
		"dead-letter":         deadLetter,
		"no-refusals":         noRefusals,
		"serves-first":        servesFirst,
		"one-process":         oneProcess,
		"only-frames":         onlyFrames,
		"one-final-frame":     oneFinalFrame,
		"runs-once":           runsOnce,
		"ends-by-itself":      endsByItself,
		"drains":              drains,
		"retries":             retries,
		"reports":             reports,
		"calls":               calls,
		"ends-lost-runs":      endsLostRuns,
		"notes-threads":       notesThreads,
		"blocks-thread":       blocksThread,
		"overlaps":            overlaps,
	}
}

// forbiddenCommands demands that the worker sends none of the commands that destroy
// requests or that the role of a worker lacks.
func forbiddenCommands(s *stage, _ *suites.RuleCheck) error {
	forbidden := []string{
		"XTRIM", "XSETID", "XAUTOCLAIM", "SCRIPT", "FLUSHALL", "FLUSHDB", "KEYS", "SCAN", "CONFIG", "MONITOR", "SPUBLISH", "DEBUG", "SHUTDOWN",
	}
	for _, c := range s.trace.All() {
		sub := strings.ToUpper(c.Arg(1))
		bad := slices.Contains(forbidden, c.Name) ||
			c.Name == "FUNCTION" && sub != "LOAD" ||
			c.Name == "XGROUP" && sub != "CREATE" ||
			c.Name == "XADD" && !isHistory(c.Arg(1)) && slices.ContainsFunc(c.Args, func(a string) bool { return strings.EqualFold(a, "MAXLEN") || strings.EqualFold(a, "MINID") })
		if bad {
			return failed("no command that destroys requests or that the role of a worker lacks", "%s", c.String()).with(c)
		}
	}
	return nil
}

// isHistory reports whether a key is a stream of ended requests, which a worker bounds.
func isHistory(key string) bool {
	return strings.HasSuffix(key, "}:recent") || strings.HasSuffix(key, "}:recent:notable")
}

// ownKeys demands that the worker uses only keys and channels of its service.
func ownKeys(s *stage, _ *suites.RuleCheck) error {
	prefix := s.keys.Tagged(suites.Service, "")
	for _, c := range s.trace.All() {
		for _, key := range c.Keys() {
			known := c.Name == "SADD" && key == s.keys.Services()
			if !known && !strings.HasPrefix(key, prefix) {
				return failed("only keys of the service, "+prefix+"…", "%s", c.String()).with(c)
			}
		}
		for _, channel := range c.Channels() {
			own := channel == s.keys.Registry() || channel == namespace+":dropped:{"+suites.Service+"}" || s.keys.MayReply(suites.Service, channel)
			// A worker whose handlers call services is a caller, too.
			caller := strings.HasPrefix(channel, namespace+":replies:"+suites.Service+".")
			if c.Name == "PUBLISH" {
				own = own || caller && strings.HasSuffix(channel, ":beat")
			} else {
				own = caller || channel == s.keys.Registry() ||
					strings.HasPrefix(channel, namespace+":flights:") || channel == namespace+":dropped:*"
			}
			if !own {
				return failed("only channels of the service, such as "+namespace+":replies:…:{"+suites.Service+"}", "%s", c.String()).with(c)
			}
		}
	}
	return nil
}

// knownScripts demands that the worker runs the scripts of the protocol and no others.
func knownScripts(s *stage, _ *suites.RuleCheck) error {
	for _, c := range s.trace.All() {
		if c.Script == "unknown" {
			return failed("scripts of the protocol, byte by byte", "%s", c.String()).with(c)
		}
	}
	return nil
}

// manifestRule demands a manifest that declares the service.
func manifestRule(s *stage, _ *suites.RuleCheck) error {
	_, digest, _ := strings.Cut(s.registered[len(s.registered)-1], " ")
	v, err := s.admin.Do("GET", s.keys.Manifest(suites.Service, digest))
	if err != nil {
		return err
	}
	if v.Null {
		return failed("the manifest at "+s.keys.Manifest(suites.Service, digest), "no such key")
	}
	if sum := sha256Hex(v.Text); sum != digest {
		return failed("the SHA-256 of the manifest as its digest: "+sum, "%s", digest)
	}
	m, err := wire.ParseManifest([]byte(v.Text))
	if err != nil {
		return failed("a valid manifest", "%v", err)
	}
	if m.Service != suites.Service {
		return failed("the service "+suites.Service, "%s", m.Service)
	}
	return checkActions(m)
}

// checkActions compares the actions of a manifest with the definition of the service.
func checkActions(m *wire.Manifest) error {
	for _, want := range suites.Definition() {
		a := m.Action(want.Name)
		if a == nil {
			return failed("the action "+want.Name, "no such action in the manifest")
		}
		got, _ := json.Marshal(suites.Declared{
			Name: a.Name, Routes: a.Routes, Safe: a.Safe, Lane: a.Lane, Invalidates: a.Invalidates, Cached: a.Cache != nil,
		})
		if text, _ := json.Marshal(want); string(got) != string(text) {
			return failed("the declaration "+string(text), "%s", got)
		}
		if want.Cached && (a.Cache.TTLMillis != 30_000 || !slices.Equal(a.Cache.Tags, []string{suites.Service + ":{0}"})) {
			return failed("CACHED is cached for 30 s under the tag conformance:{0}", "%+v", *a.Cache)
		}
	}
	return nil
}

// heartbeats demands heartbeats at least every 1.5 s that are valid for 3 s.
func heartbeats(s *stage, _ *suites.RuleCheck) error {
	beats := s.trace.Named("ZADD")
	if len(beats) < 3 {
		return failed("a heartbeat each second", "%d in 3 s", len(beats)).with(beats...)
	}
	for i := 1; i < len(beats); i++ {
		if gap := beats[i].Sent.Sub(beats[i-1].Sent); gap > 1500*time.Millisecond {
			return failed("a heartbeat each second", "a gap of %v", gap.Round(time.Millisecond)).with(beats[i-1], beats[i])
		}
	}
	for _, b := range beats {
		until := number(b.Arg(len(b.Args) - 2))
		if valid := time.UnixMilli(until).Sub(b.Sent); valid < 1500*time.Millisecond || valid > 3500*time.Millisecond {
			return failed("heartbeats that are valid for 3 s, in the time of Redis", "one for %v", valid.Round(time.Millisecond)).with(b)
		}
	}
	return nil
}

// hint demands that the worker tells gateways of itself.
func hint(s *stage, _ *suites.RuleCheck) error {
	for _, c := range s.trace.Named("PUBLISH") {
		if c.Arg(1) == s.keys.Registry() && c.Arg(2) == suites.Service {
			return nil
		}
	}
	return failed("PUBLISH "+s.keys.Registry()+" "+suites.Service, "no such command").with(s.trace.Named("PUBLISH")...)
}

// group demands that the group is created at 0.
func group(s *stage, _ *suites.RuleCheck) error {
	for _, c := range s.trace.Named("XGROUP") {
		if c.Arg(2) != s.keys.Requests(suites.Service) || c.Arg(3) != wire.Group || c.Arg(4) != "0" && c.Arg(4) != "0-0" {
			return failed("XGROUP CREATE "+s.keys.Requests(suites.Service)+" workers 0 MKSTREAM", "%s", c.String()).with(c)
		}
	}
	return nil
}
