package mutants

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/oskadev/mailroom/internal/conformance/suites"
)

// mutantVariable names the planted bug of a test worker; "none": it has none.
const mutantVariable = "MAILROOM_TEST_MUTANT"

// mutantRun is one run of an action in a test worker.
type mutantRun struct {
	action  string
	args    []json.RawMessage
	attempt int
	lost    chan struct{} // closed when the run should stop
	extend  func(ms int64)
	report  func(value json.RawMessage)
	call    func(action string, args json.RawMessage) mutantOutcome
}

// numberIn returns the number in a text, or 0.
func numberIn(text string) int64 {
	n, _ := strconv.ParseFloat(text, 64)
	return int64(n)
}

// mutantFailure is the error of an action.
type mutantFailure struct {
	Code    string          `json:"code"`
	Message string          `json:"message"`
	Status  int             `json:"status"`
	Details json.RawMessage `json:"details,omitempty"`
	Service string          `json:"service,omitempty"`
	Action  string          `json:"action,omitempty"`

	RequestID     string `json:"request_id,omitempty"`
	CorrelationID string `json:"correlation_id,omitempty"`
}

// mutantOutcome is how a run ended: with a result, a failure, without an outcome, or stopped.
type mutantOutcome struct {
	result        any
	failure       *mutantFailure
	none, stopped bool
}

// mutantService is the service "conformance" of the test workers.
type mutantService struct {
	bug string

	mu     sync.Mutex
	lists  map[string][]json.RawMessage
	active map[string]int
	runs   map[string]int
}

func newMutantService(bug string) *mutantService {
	return &mutantService{bug: bug, lists: make(map[string][]json.RawMessage), active: make(map[string]int), runs: make(map[string]int)}
}

func (s *mutantService) is(bugs ...string) bool { return slices.Contains(bugs, s.bug) }

// service returns the name of the service.
func (s *mutantService) service() string {
	if s.is("serves-another-service") {
		return "orders"
	}
	return suites.Service
}

// manifest declares the service.
func (s *mutantService) manifest() map[string]any {
	var actions []map[string]any
	own := []suites.Declared{{Name: "CALL", Routes: []string{"POST /conformance/call"}}, {Name: "REPORT", Routes: []string{"POST /conformance/report"}}}
	for _, d := range append(suites.Definition(), own...) {
		a := map[string]any{"name": d.Name, "routes": d.Routes, "safe": d.Safe, "timeout_ms": 10000}
		if d.Lane != "" && !s.is("no-lane") {
			a["lane"] = d.Lane
		}
		if d.Invalidates != nil {
			a["invalidates"] = d.Invalidates
		}
		if d.Cached && !s.is("no-cache") {
			a["cache"] = map[string]any{"ttl_ms": 30000, "tags": []string{"conformance:{0}"}}
		}
		integer := []any{map[string]any{"name": "id", "in": "path", "schema": map[string]any{"type": "integer"}}}
		body := map[string]any{"name": "body", "in": "body", "schema": map[string]any{"type": "object"}}
		switch {
		case d.Name == "GET" && s.is("gets-text"):
			a["args"] = []any{map[string]any{"name": "id", "in": "path", "schema": map[string]any{}}}
		case strings.Contains(d.Routes[0], ":id"):
			a["args"] = integer
		case d.Name == "APPEND":
			a["args"] = []any{map[string]any{"name": "key", "in": "path", "schema": map[string]any{"type": "string"}}, body}
		case d.Name == "PANIC":
			a["args"] = []any{}
		default:
			a["args"] = []any{body}
		}
		actions = append(actions, a)
	}
	return map[string]any{"service": s.service(), "version": "1.0.0", "protocol": 1, "actions": actions}
}

func refuseMutant(code string, status int, message string) mutantOutcome {
	return mutantOutcome{failure: &mutantFailure{Code: code, Status: status, Message: message}}
}

// run runs an action.
func (s *mutantService) run(r *mutantRun) mutantOutcome {
	var body struct {
		mutantFailure

		MS, Extend   int64
		Bytes, Times int
		Value, Args  json.RawMessage
		Values       []json.RawMessage
	}
	last := json.RawMessage(`{}`)
	want := 1
	switch r.action {
	case "APPEND":
		want = 2
	case "PANIC":
		want = 0
	}
	if len(r.args) > want && !s.is("takes-any-arguments") {
		return refuseMutant("BAD_REQUEST", 400, "too many arguments")
	}
	if len(r.args) == want && want > 0 {
		last = r.args[want-1]
	}
	_ = json.Unmarshal(last, &body)
	asked := body.MS
	switch r.action {
	case "ECHO":
		return mutantOutcome{result: last}
	case "GET", "TOUCH", "CACHED":
		return s.record(r, last)
	case "FAIL":
		failure := body.mutantFailure
		if s.is("no-details") {
			failure.Details = nil
		}
		return mutantOutcome{failure: &failure}
	case "SLEEP":
		if body.Extend > 0 && !s.is("no-extend") {
			r.extend(body.Extend)
		}
		return s.slept(r, body.MS, map[string]any{"slept": body.MS})
	case "BLOCK":
		if s.is("blocks-shortly") {
			body.MS /= 2
		}
		time.Sleep(time.Duration(body.MS) * time.Millisecond) //nolint:forbidigo // it blocks on purpose
		return mutantOutcome{result: map[string]any{"slept": asked}}
	case "PANIC":
		if s.is("leaks-internals") {
			return refuseMutant("INTERNAL", 500, "internal-text")
		}
		return refuseMutant("INTERNAL", 500, "internal error")
	case "BIG":
		if s.is("cuts-results") {
			body.Bytes = min(body.Bytes, 1<<20)
		}
		return mutantOutcome{result: strings.Repeat("x", body.Bytes)}
	case "NOOUTCOME":
		if r.attempt <= body.Times {
			return mutantOutcome{none: true}
		}
		return mutantOutcome{result: map[string]any{"attempt": r.attempt}}
	case "CALL":
		return r.call(body.Action, body.Args)
	case "REPORT":
		for _, value := range body.Values {
			r.report(value)
		}
		return s.slept(r, body.MS, map[string]any{"reported": len(body.Values)})
	case "APPEND":
		return s.append(r, body.Value, body.MS)
	default:
		return refuseMutant("NOT_SUPPORTED", 501, "no such action")
	}
}

func (s *mutantService) record(r *mutantRun, id json.RawMessage) mutantOutcome {
	var n int64
	if json.Unmarshal(id, &n) != nil && !s.is("takes-any-arguments") && (r.action != "GET" || !s.is("gets-text")) {
		return refuseMutant("BAD_REQUEST", 400, "want an integer")
	}
	if r.action != "CACHED" {
		return mutantOutcome{result: map[string]any{"id": id}}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs[string(id)]++
	return mutantOutcome{result: map[string]any{"id": id, "runs": s.runs[string(id)]}}
}

func (s *mutantService) append(r *mutantRun, value json.RawMessage, ms int64) mutantOutcome {
	key := string(r.args[0])
	s.mu.Lock()
	s.lists[key] = append(s.lists[key], value)
	s.active[key]++
	overlap := s.active[key] > 1
	s.mu.Unlock()
	o := s.slept(r, ms, nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	overlap = overlap || s.active[key] > 1
	s.active[key]--
	overlap = overlap && !s.is("never-overlaps") || s.is("always-overlaps")
	o.result = map[string]any{"values": slices.Clone(s.lists[key]), "overlap": overlap}
	return o
}

// slept waits until the time is over or the run is lost.
func (s *mutantService) slept(r *mutantRun, ms int64, result any) mutantOutcome {
	timer := time.NewTimer(time.Duration(ms) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
		return mutantOutcome{result: result}
	case <-r.lost:
		return mutantOutcome{stopped: true}
	}
}
