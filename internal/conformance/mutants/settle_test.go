package mutants

import (
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/oskadev/mailroom/internal/conformance/resp"
	"github.com/oskadev/mailroom/internal/conformance/suites"
)

// mutantDelivery is a request that was delivered to a test worker.
type mutantDelivery struct {
	entry   string
	fields  map[string]string
	attempt int
	run     *mutantRun
	once    sync.Once
	left    bool // for another delivery; guarded by the mutex of the worker
}

// lose tells the handler to stop.
func (d *mutantDelivery) lose() { d.once.Do(func() { close(d.run.lost) }) }

func (d *mutantDelivery) safe() bool { return d.fields["store"] == "" }

// deliver starts requests. Attempts has the deliveries of entries that were delivered before.
func (w *nativeMutant) deliver(entries resp.Value, attempts map[string]int) {
	for _, e := range entries.Items {
		if len(e.Items) != 2 || e.Items[1].Null {
			continue
		}
		d := &mutantDelivery{entry: e.Items[0].Text, fields: make(map[string]string), attempt: max(attempts[e.Items[0].Text], 1)}
		words := e.Items[1].Words()
		for i := 0; i+1 < len(words); i += 2 {
			d.fields[words[i]] = words[i+1]
		}
		if w.is("counts-no-attempts") {
			d.attempt = 1
		}
		d.run = &mutantRun{action: d.fields["action"], attempt: d.attempt, lost: make(chan struct{})}
		w.mu.Lock()
		w.running[d.entry] = d
		w.mu.Unlock()
		w.handlers.Go(func() {
			if w.is("one-at-a-time") {
				w.serial.Lock()
				defer w.serial.Unlock()
			}
			w.handle(d)
		})
	}
}

// handle ends a request.
func (w *nativeMutant) handle(d *mutantDelivery) {
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.running, d.entry)
	}()
	if failure, bad := w.check(d); bad {
		switch {
		case w.is("ignores-bad-entries"):
		case w.is("dies-at-bad-entries"):
			os.Exit(1)
		case failure == nil:
			w.dead(d, "not a valid request")
		default:
			w.settle(d, "done", w.envelope(d, mutantOutcome{failure: failure}), failure.Status, nil, "")
		}
		return
	}
	deadline := numberIn(d.fields["deadline"])
	switch {
	case deadline != 0 && deadline <= w.now() && !w.is("runs-expired"):
		switch {
		case w.is("answers-expired"):
			w.settle(d, "done", w.envelope(d, refuseMutant("TIMEOUT", 504, "too late")), 504, nil, "")
		case d.attempt <= 1, d.safe() && d.attempt <= 2, w.is("expires-begun"):
			w.settle(d, "expired", "-", 0, nil, "")
		default:
			w.dead(d, "the deadline passed")
		}
		return
	case d.attempt > 5:
		w.dead(d, "delivered too often")
		return
	}
	o := w.execute(d, deadline)
	switch {
	case o.none && w.is("fails-without-outcome"):
		o = refuseMutant("INTERNAL", 500, "internal error")
	case o.none && w.is("keeps-without-outcome"):
		select {}
	case o.none:
		w.mu.Lock()
		d.left = true
		w.mu.Unlock()
		return
	case o.stopped:
		o = refuseMutant("TIMEOUT", 504, "the service did not end in time")
	}
	w.end(d, o)
}

// end settles the outcome of a run.
func (w *nativeMutant) end(d *mutantDelivery, o mutantOutcome) {
	var tags []string
	if d.run.action == "TOUCH" {
		tags = []string{"conformance:" + string(d.run.args[0])}
	}
	if !w.is("invalidates-late") {
		w.invalidate(tags)
	}
	status := 0
	if o.failure != nil {
		status = o.failure.Status
	}
	shown := tags
	if w.is("no-tags") {
		shown = nil
	}
	w.settle(d, "done", w.envelope(d, o), status, shown, "")
	if w.is("answers-twice") {
		_, _ = w.settling.do("PUBLISH", d.fields["reply"], d.fields["id"]+" worker="+w.id+" "+w.envelope(d, o)+"\n")
	}
	if w.is("invalidates-late") {
		w.invalidate(tags)
	}
}

// check reports an entry that is not a valid request, and the failure to answer it with;
// nil: it becomes a dead letter.
func (w *nativeMutant) check(d *mutantDelivery) (*mutantFailure, bool) {
	f := d.fields
	valid := uuid.Validate(f["id"]) == nil && len(f["id"]) == 36
	for _, name := range []string{"deadline", "store"} {
		if _, err := strconv.ParseUint(f[name], 10, 63); err != nil && f[name] != "" {
			valid = false
			f[name] = "" // settle.lua needs a number
		}
	}
	version := f["v"] == "1" || w.is("ignores-version")
	if w.is("refuses-unknown-fields") && f["later"] != "" {
		valid = false
	}
	valid = valid && version && f["action"] != "" && json.Unmarshal([]byte(f["args"]), &d.run.args) == nil
	switch {
	case valid:
		return nil, false
	case len(f["id"]) != 36 || !w.mayReply(f["reply"]):
		return nil, true
	case !version:
		return &mutantFailure{Code: "NOT_SUPPORTED", Status: 501, Message: "another version"}, true
	default:
		return &mutantFailure{Code: "BAD_REQUEST", Status: 400, Message: "not a valid request"}, true
	}
}

func (w *nativeMutant) mayReply(channel string) bool {
	own := strings.HasPrefix(channel, w.ns+":replies:") && strings.HasSuffix(channel, ":{"+suites.Service+"}")
	return own || w.is("answers-anywhere") && channel != ""
}

// execute runs the action until its deadline.
func (w *nativeMutant) execute(d *mutantDelivery, deadline int64) mutantOutcome {
	if d.run.action == "PANIC" && w.is("dies-in-panic") {
		os.Exit(2)
	}
	if d.run.action == "BLOCK" && w.is("blocks-keeps") {
		w.control.mu.Lock()
		defer w.control.mu.Unlock()
	}
	if deadline != 0 {
		timer := time.AfterFunc(time.Duration(deadline-w.now())*time.Millisecond, d.lose)
		defer timer.Stop()
		d.run.extend = func(ms int64) { timer.Reset(time.Duration(ms) * time.Millisecond) }
	}
	return w.run(d.run)
}

func (w *nativeMutant) invalidate(tags []string) {
	for _, tag := range tags {
		words := []string{"SET", w.prefix + "tag:" + tag, uuid.NewString(), "XX", "KEEPTTL"}
		if w.is("invalidates-without-keepttl") {
			words = words[:4]
		}
		_, _ = w.settling.do(words...)
		_, _ = w.settling.do("PUBLISH", w.ns+":dropped:{"+suites.Service+"}", tag)
	}
}

func (w *nativeMutant) dead(d *mutantDelivery, reason string) {
	if w.is("drops-dead-letters") {
		_, _ = w.settling.do("XACK", w.mailbox, "workers", d.entry)
		_, _ = w.settling.do("XDEL", w.mailbox, d.entry)
		return
	}
	d.attempt--
	o := mutantOutcome{failure: &mutantFailure{Code: "INTERNAL", Status: 500, Message: "the request was given up", Details: json.RawMessage(`{"state":"dead"}`)}}
	if len(d.fields["id"]) != 36 {
		d.fields["id"], d.fields["store"] = "", ""
	}
	w.settle(d, "dead", w.envelope(d, o), 500, nil, reason)
}

// envelope returns the envelope of an outcome.
func (w *nativeMutant) envelope(d *mutantDelivery, o mutantOutcome) string {
	var text []byte
	if o.failure == nil {
		result, _ := json.Marshal(o.result)
		text = append(append([]byte(`{"ok":true,"result":`), result...), '}')
		if len(text) <= 4<<20 || w.is("no-limit") {
			return string(text)
		}
		o.failure = &mutantFailure{Code: "INTERNAL", Status: 500, Message: "the reply is too large"}
	}
	var meta struct {
		RequestID string `json:"request_id"`
	}
	_ = json.Unmarshal([]byte(d.fields["meta"]), &meta)
	failure := *o.failure
	failure.RequestID = d.fields["id"]
	if meta.RequestID != "" && !w.is("no-request-id") {
		failure.RequestID, failure.CorrelationID = meta.RequestID, d.fields["id"]
	}
	text, _ = json.Marshal(map[string]any{"ok": false, "error": failure})
	return string(text)
}

// settle ends a request in Redis. It tries until Redis answers.
func (w *nativeMutant) settle(d *mutantDelivery, state, envelope string, status int, tags []string, reason string) {
	meta := "worker=" + w.id + ",attempt=" + strconv.Itoa(max(d.attempt, 1))
	if w.is("no-worker") {
		meta = "attempt=1"
	}
	if status != 0 {
		meta += ",status=" + strconv.Itoa(status)
	}
	if tags != nil {
		meta += ",tags=" + strings.ReplaceAll(strings.Join(tags, "%20"), ":", "%3A")
	}
	if w.is("trims") {
		_, _ = w.settling.do("XTRIM", w.mailbox, "MAXLEN", "~", "100000")
	}
	for {
		var err error
		if (d.safe() || w.is("settles-by-commands")) && state != "dead" {
			err = w.settleSafe(d, state, meta, envelope)
		} else {
			err = w.settleUnsafe(d, state, meta, envelope, reason)
		}
		if err == nil || w.is("settles-once") {
			return
		}
		if w.is("runs-again") {
			w.run(d.run)
		}
		<-time.After(50 * time.Millisecond)
	}
}

func (w *nativeMutant) settleSafe(d *mutantDelivery, state, meta, envelope string) error {
	publish := func() error {
		if state != "done" || !w.mayReply(d.fields["reply"]) {
			return nil
		}
		body := envelope
		if len(envelope) > 64<<10 && !w.is("publishes-large") {
			key := w.prefix + "req:" + d.fields["id"]
			if _, err := w.settling.do("HSET", key, "outcome", meta+" "+envelope); err != nil {
				return err
			}
			if !w.is("stores-for-ever") {
				_, _ = w.settling.do("PEXPIRE", key, "60000")
			}
			meta, body = meta+",stored=1", "-"
		}
		_, err := w.settling.do("PUBLISH", d.fields["reply"], d.fields["id"]+" "+meta+" "+body+"\n")
		return err
	}
	if !w.is("publishes-last") {
		if err := publish(); err != nil {
			return err
		}
	}
	if _, err := w.settling.do("XACK", w.mailbox, "workers", d.entry); err != nil {
		return err
	}
	if !w.is("only-acknowledges") {
		if _, err := w.settling.do("XDEL", w.mailbox, d.entry); err != nil {
			return err
		}
	}
	if w.is("publishes-last") {
		return publish()
	}
	return nil
}

func (w *nativeMutant) settleUnsafe(d *mutantDelivery, state, meta, envelope, reason string) error {
	if w.is("takes-back") {
		_, _ = w.settling.do("XCLAIM", w.mailbox, "workers", w.id, "0", d.entry)
	}
	id := d.fields["id"]
	_, err := w.settling.script("settle", 3, w.mailbox, w.prefix+"dead", w.prefix+"req:"+id,
		w.id, d.entry, id, state, meta, envelope, d.fields["store"], reason, strconv.Itoa(max(d.attempt, 1)))
	return err
}
