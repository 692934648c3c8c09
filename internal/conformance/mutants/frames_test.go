package mutants

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/oskadev/mailroom/internal/conformance/suites"
)

// frameMutants are the planted bugs of the worker that speaks frames, and the check that
// has to find each.
func frameMutants() map[string]string {
	return map[string]string{
		"prints-on-stdout":       "serve-frame",
		"serves-twice":           "serve-frame",
		"two-finals":             "final-frames",
		"dies-in-panic":          "final-frames",
		"no-final-after-failure": "fail",
		"mixes-up-runs":          "parallel",
		"one-at-a-time":          "parallel",
		"ends-at-unknown-frames": "unknown-frames",
		"answers-unknown-runs":   "unknown-frames",
		"ignores-lost":           "lost-by-deadline",
		"outlives-connection":    "end-of-connection",
		"dies-at-sigterm":        "drain-by-signal",
		"no-drain-frame":         "drain-by-signal",
		"drops-runs-at-drain":    "drain-by-host",
		"fails-without-outcome":  "retry-frame",
		"no-extend":              "extend",
		"short-lines":            "big-arguments",
		"cuts-results":           "big-megabytes",
		"escapes-text-wrongly":   "echo-text",
		"no-details":             "fail",
		"no-status":              "fail",
		"leaks-internals":        "panic",
		"no-lane":                "register",
		"no-cache":               "register",
		"takes-one-run":          "many",
		"ends-after-block":       "lost-while-blocked",
		"ignores-cancel":         "lost-by-cancel",
		"no-progress":            "progress",
		"reports-late":           "progress",
		"calls-itself":           "call",
		"one-name-of-calls":      "call",
		"hides-failed-call":      "call-failure",
		"own-failure-of-call":    "call-failure",
		"always-overlaps":        "append",
		"never-overlaps":         "overlap",
		"serves-another-service": "register",
		"gets-text":              "bad-argument",
		"blocks-shortly":         "block",
	}
}

// frameMutant is a worker that speaks frames on stdin and stdout.
type frameMutant struct {
	*mutantService

	mu      sync.Mutex
	out     *bufio.Writer
	runs    map[string]*mutantRun
	calls   map[string]chan mutantOutcome
	running sync.WaitGroup
	served  int
	called  int
	last    string
}

func runFrameMutant(bug string) int {
	w := &frameMutant{mutantService: newMutantService(bug), out: bufio.NewWriter(os.Stdout), runs: make(map[string]*mutantRun), calls: make(map[string]chan mutantOutcome)}
	signals := make(chan os.Signal, 1)
	if !w.is("dies-at-sigterm") {
		signal.Notify(signals, syscall.SIGTERM)
	}
	go func() {
		<-signals
		if !w.is("no-drain-frame") {
			w.send(map[string]any{"drain": true})
		}
	}()
	w.serve()
	if w.is("serves-twice") {
		w.serve()
	}
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 8<<20)
	if w.is("short-lines") {
		in.Buffer(nil, 64<<10)
	}
	for in.Scan() {
		if code, ended := w.frame(in.Bytes()); ended {
			return code
		}
	}
	if w.is("outlives-connection") {
		select {}
	}
	w.running.Wait()
	return 0
}

func (w *frameMutant) serve() { w.send(map[string]any{"serve": w.manifest(), "concurrency": 8}) }

func (w *frameMutant) send(frame any) {
	text, _ := json.Marshal(frame)
	w.mu.Lock()
	defer w.mu.Unlock()
	_, _ = w.out.Write(append(text, '\n'))
	_ = w.out.Flush()
}

// frame handles one frame of the host.
func (w *frameMutant) frame(text []byte) (code int, ended bool) {
	var f struct {
		Run, Action, Lost, Reason string
		Args                      []json.RawMessage
		Attempt                   int
		Drain                     bool
		Serving                   string
		Call                      string
		Result                    json.RawMessage
		Error                     *mutantFailure
	}
	if err := json.Unmarshal(text, &f); err != nil {
		return 1, true
	}
	switch {
	case f.Run != "":
		r := &mutantRun{action: f.Action, args: f.Args, attempt: f.Attempt, lost: make(chan struct{})}
		w.connect(f.Run, r)
		w.mu.Lock()
		w.runs[f.Run], w.last = r, f.Run
		w.served++
		dropped := w.is("takes-one-run") && w.served > 1
		w.mu.Unlock()
		switch {
		case dropped:
		case f.Action == "BLOCK", w.is("one-at-a-time"):
			w.handle(f.Run, r)
			if w.is("ends-after-block") {
				return 0, true
			}
		default:
			w.running.Go(func() { w.handle(f.Run, r) })
		}
	case f.Lost != "":
		w.mu.Lock()
		r := w.runs[f.Lost]
		w.mu.Unlock()
		if r != nil && !w.is("ignores-lost") && (f.Reason != "cancelled" || !w.is("ignores-cancel")) {
			close(r.lost)
		} else if w.is("answers-unknown-runs") {
			w.send(map[string]any{"run": f.Lost, "stopped": true})
		}
	case f.Call != "":
		w.mu.Lock()
		answer := w.calls[f.Call]
		delete(w.calls, f.Call)
		w.mu.Unlock()
		if answer != nil {
			answer <- mutantOutcome{result: f.Result, failure: f.Error}
		}
	case f.Drain:
		return 0, w.is("drops-runs-at-drain")
	case f.Serving == "" && w.is("ends-at-unknown-frames"):
		return 1, true
	}
	return 0, false
}

// connect gives a run what it can send beside its final frame.
func (w *frameMutant) connect(name string, r *mutantRun) {
	r.extend = func(ms int64) { w.send(map[string]any{"run": name, "extend": ms}) }
	r.report = func(value json.RawMessage) {
		if !w.is("no-progress", "reports-late") {
			w.send(map[string]any{"run": name, "progress": value})
		}
	}
	r.call = func(action string, args json.RawMessage) mutantOutcome {
		if w.is("calls-itself") {
			inner := &mutantRun{action: action, lost: make(chan struct{})}
			_ = json.Unmarshal(args, &inner.args)
			return w.run(inner)
		}
		answer := make(chan mutantOutcome, 1)
		w.mu.Lock()
		w.called++
		call := fmt.Sprint("c", w.called)
		if w.is("one-name-of-calls") {
			call = "c"
		}
		w.calls[call] = answer
		w.mu.Unlock()
		w.send(map[string]any{"call": call, "run": name, "service": suites.Service, "request": action, "args": args})
		o := <-answer
		switch {
		case o.failure != nil && w.is("hides-failed-call"):
			return refuseMutant("INTERNAL", 500, "a call failed")
		case o.failure != nil && w.is("own-failure-of-call"):
			o.failure.Service, o.failure.Action = "", ""
		}
		return o
	}
}

// handle runs an action and sends its final frame.
func (w *frameMutant) handle(name string, r *mutantRun) {
	if r.action == "PANIC" && w.is("dies-in-panic") {
		os.Exit(2)
	}
	if w.is("prints-on-stdout") {
		w.mu.Lock()
		_, _ = fmt.Fprintln(w.out, "handling", r.action)
		w.mu.Unlock()
	}
	o := w.run(r)
	w.mu.Lock()
	delete(w.runs, name)
	if w.is("mixes-up-runs") {
		name = w.last
	}
	w.mu.Unlock()
	final := map[string]any{"run": name}
	switch {
	case o.stopped && w.is("ignores-lost"):
		return
	case o.stopped:
		final["stopped"] = true
	case o.none && !w.is("fails-without-outcome"):
		final["retry"] = true
	case o.none:
		final["ok"], final["error"] = false, map[string]any{"code": "INTERNAL", "status": 500}
	case o.failure != nil:
		if w.is("no-final-after-failure") {
			return
		}
		if w.is("no-status") {
			o.failure.Status = 0
		}
		final["ok"], final["error"] = false, o.failure
	default:
		final["ok"], final["result"] = true, o.result
		if text, ok := o.result.(json.RawMessage); ok && w.is("escapes-text-wrongly") {
			final["result"] = string(text)
		}
	}
	w.send(final)
	if w.is("two-finals") {
		w.send(final)
	}
	if r.action == "REPORT" && w.is("reports-late") {
		for n := range 3 {
			w.send(map[string]any{"run": name, "progress": n + 1})
		}
	}
}
