package conformance

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/conformance/suites"
	"github.com/oskadev/mailroom/internal/conformance/trace"
)

// outcomeKept is the field store of unsafe requests, in ms.
const outcomeKept = 300_000

// request is one request of a check.
type request struct {
	name   string
	id     string
	entry  string
	action string
	safe   bool
	sent   time.Time
}

// safeActions are the actions of the service that are safe.
func safeActions() []string { return []string{"GET", "CACHED"} }

// send sends a request, or several.
func (s *stage) send(send *suites.Send) error {
	name := cmp.Or(send.As, send.Action)
	if send.Times == 0 {
		return s.sendOne(send, name)
	}
	for i := range send.Times {
		if err := s.sendOne(send, name+strconv.Itoa(i+1)); err != nil {
			return err
		}
	}
	return nil
}

func (s *stage) sendOne(send *suites.Send, name string) error {
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	r := &request{name: name, id: id.String(), action: send.Action, safe: slices.Contains(safeActions(), send.Action), sent: time.Now()}
	if send.Safe != nil {
		r.safe = *send.Safe
	}
	fields, err := s.fields(send, r)
	if err != nil {
		return err
	}
	if r.safe || send.Fields != nil {
		r.entry, err = s.xadd(send, fields)
	} else {
		r.entry, err = s.enqueue(fields)
	}
	s.requests[name] = r
	return err
}

// fields returns the fields of a request, in their order.
func (s *stage) fields(send *suites.Send, r *request) (*wireFields, error) {
	f := &wireFields{id: r.id, action: r.action, args: "[]", meta: send.Meta, reply: s.channel}
	if send.Pad > 0 {
		send.Args = json.RawMessage(`[{"pad":"` + strings.Repeat("x", send.Pad) + `"}]`)
	}
	if len(send.Args) > 0 {
		f.args = string(send.Args)
	}
	switch send.Reply {
	case "":
	case "none":
		f.reply = ""
	default:
		f.reply = s.expand(send.Reply)
	}
	if send.Deadline != "none" {
		left := cmp.Or(send.Deadline, "10s").Of(s.cfg.IdleLimit)
		now, err := s.now()
		if err != nil {
			return nil, err
		}
		f.deadline = strconv.FormatInt(now+left.Milliseconds(), 10)
	}
	if !r.safe {
		f.store = strconv.Itoa(outcomeKept)
		if r.action == "APPEND" {
			f.lane = (&wire.Action{Lane: suites.Service + ":{0}"}).LaneOf(f.args)
		}
	}
	return f, nil
}

// wireFields are the fields of a stream entry.
type wireFields struct{ id, action, args, reply, deadline, meta, store, lane string }

// xadd adds the entry of a safe request, or one with other fields.
func (s *stage) xadd(send *suites.Send, f *wireFields) (string, error) {
	words := []string{"XADD", s.keys.Requests(suites.Service), "*"}
	pair := func(name, value string) {
		if other, ok := send.Fields[name]; ok {
			if other == nil {
				return
			}
			value = s.expand(*other)
		}
		words = append(words, name, value)
	}
	pair("v", wire.ProtocolVersion)
	pair("id", f.id)
	pair("action", f.action)
	pair("args", f.args)
	pair("reply", f.reply)
	pair("deadline", f.deadline)
	pair("meta", f.meta)
	known := []string{"v", "id", "action", "args", "reply", "deadline", "meta", "store"}
	if f.store != "" {
		pair("store", f.store)
	}
	for name, value := range send.Fields {
		if value != nil && !slices.Contains(known, name) {
			words = append(words, name, *value)
		}
	}
	v, err := s.admin.Do(words...)
	return v.Text, err
}

// enqueue sends an unsafe request.
func (s *stage) enqueue(f *wireFields) (string, error) {
	r := wire.Request{Action: f.action, Args: f.args}
	v, err := s.admin.Do("EVAL", trace.Scripts()["enqueue"], "2", s.keys.Requests(suites.Service), s.keys.Record(suites.Service, f.id), "10000", "100000", "0", "0", "0",
		f.id, f.action, f.args, f.reply, f.deadline, f.meta, f.store, f.lane, r.Fingerprint(), "", "100000", "")
	if err != nil {
		return "", err
	}
	if words := v.Words(); len(words) == 3 && words[0] == wire.StateQueued {
		return words[1], nil
	}
	return "", fmt.Errorf("enqueue.lua answered %v", v.Plain())
}

// find returns a request by its name.
func (s *stage) find(name string) (*request, error) {
	if r := s.requests[name]; r != nil {
		return r, nil
	}
	return nil, fmt.Errorf("the check has no request %q", name)
}

// judge compares the replies to a request with what is expected. Its error is permanent
// where there is a reply.
func (s *stage) judge(r *request, e *suites.Expect) error {
	replies := s.repliesTo(r.id)
	if len(replies) == 0 {
		if bad := s.repliesTo(""); len(bad) > 0 {
			return &permanent{failed("reply lines <id> <meta> <envelope>", "%s", bad[0].line)}
		}
		return failed("a reply to "+r.describe(), "none")
	}
	if len(replies) > 1 && !r.safe {
		return &permanent{failed("one reply to "+r.describe(), "%d", len(replies))}
	}
	if err := s.judgeReply(r, e, &replies[0]); err != nil {
		return &permanent{err}
	}
	return nil
}

func (s *stage) judgeReply(r *request, e *suites.Expect, got *received) error {
	if after := e.After.Of(s.cfg.IdleLimit); got.at.Sub(r.sent) < after {
		return failed(fmt.Sprintf("the reply to %s not before %v", r.describe(), after), "it after %v", got.at.Sub(r.sent).Round(time.Millisecond))
	}
	if err := s.judgeMeta(r, e, got); err != nil {
		return err
	}
	envelope := got.envelope
	if e.Stored || envelope == "-" {
		if e.Stored && envelope != "-" {
			return failed("a reply over 64 KiB is stored: stored=1 -", "%.80s", envelope)
		}
		v, err := s.admin.Do("HGET", s.keys.Record(suites.Service, r.id), "outcome")
		if err != nil {
			return err
		}
		_, envelope, _ = strings.Cut(v.Text, " ")
	}
	result, failure := wire.ParseEnvelope(envelope)
	switch {
	case failure == nil && !strings.HasPrefix(envelope, `{"ok":true,"result":`):
		return failed(`an envelope that begins with {"ok":true,"result":`, "%.80s", envelope)
	case e.Error != nil && failure == nil, e.Error == nil && failure != nil && (e.Result != nil || e.Size > 0):
		return failed(expected(e), "%.200s", envelope)
	case e.Error != nil:
		return judgeError(r, e.Error, envelope)
	case e.Size > 0:
		var text string
		if json.Unmarshal(result, &text) != nil || len(text) != e.Size {
			return failed(fmt.Sprintf("a string of %d bytes", e.Size), "%.60s… (%d bytes of JSON)", result, len(result))
		}
	case e.Result != nil && canonical(result) != canonical(e.Result):
		return failed(fmt.Sprintf("the result %.200s", canonical(e.Result)), "%.200s", result)
	}
	return nil
}

func (s *stage) judgeMeta(r *request, e *suites.Expect, got *received) error {
	m := got.meta
	ids := make([]string, 0, len(s.registered))
	for _, member := range s.registered {
		id, _, _ := strings.Cut(member, " ")
		ids = append(ids, id)
	}
	switch {
	case !slices.Contains(append(ids, thief), m.Worker) && len(s.workers) == 1:
		return failed("worker=<the registered identifier> in the meta of the reply to "+r.describe(), "worker=%s", m.Worker)
	case e.Attempt != 0 && m.Attempt != e.Attempt:
		return failed(fmt.Sprintf("attempt=%d in the meta of the reply to %s", e.Attempt, r.describe()), "attempt=%d", m.Attempt)
	case e.Status != 0 && m.Status != e.Status:
		return failed(fmt.Sprintf("status=%d in the meta of the reply to %s", e.Status, r.describe()), "status=%d", m.Status)
	case e.Tags != nil && !slices.Equal(m.Tags, e.Tags):
		return failed(fmt.Sprintf("tags %v in the meta of the reply to %s", e.Tags, r.describe()), "tags %v", m.Tags)
	}
	return nil
}

// judgeError compares the error of an envelope.
func judgeError(r *request, e *suites.ExpectError, envelope string) error {
	var got struct {
		Error struct {
			Code          string          `json:"code"`
			Status        int             `json:"status"`
			Message       string          `json:"message"`
			Details       json.RawMessage `json:"details"`
			Service       string          `json:"service"`
			Action        string          `json:"action"`
			RequestID     string          `json:"request_id"`
			CorrelationID string          `json:"correlation_id"`
		} `json:"error"`
	}
	if err := json.Unmarshal([]byte(envelope), &got); err != nil {
		return failed("an envelope of JSON", "%s", envelope)
	}
	g := got.Error
	requestID, correlationID := cmp.Or(e.RequestID, r.id), ""
	if e.CorrelationID {
		correlationID = r.id
	}
	switch {
	case g.Code != e.Code || e.Status != 0 && g.Status != e.Status:
		return failed(fmt.Sprintf("the error %s (%d)", e.Code, e.Status), "%.200s", envelope)
	case e.Message != "" && g.Message != e.Message:
		return failed(fmt.Sprintf("the message %q", e.Message), "%q", g.Message)
	case e.Without != "" && strings.Contains(envelope, e.Without):
		return failed(fmt.Sprintf("no internals (%q) in the envelope", e.Without), "%.200s", envelope)
	case e.Details != nil && canonical(g.Details) != canonical(e.Details):
		return failed("the details "+canonical(e.Details), "%s", g.Details)
	case e.Action != "" && (g.Service != suites.Service || g.Action != e.Action):
		return failed("the failed action "+suites.Service+" "+e.Action, "%.300s", envelope)
	case g.RequestID != requestID:
		return failed("the request_id "+requestID, "%.300s", envelope)
	case g.CorrelationID != correlationID:
		return failed(fmt.Sprintf("the correlation_id %q", correlationID), "%.300s", envelope)
	}
	return nil
}

func (r *request) describe() string { return fmt.Sprintf("%s (%s)", r.name, r.action) }

// expected describes the outcome of a reply.
func expected(e *suites.Expect) string {
	switch {
	case e.Error != nil:
		return fmt.Sprintf("the error %s (%d)", e.Error.Code, e.Error.Status)
	case e.Size > 0:
		return fmt.Sprintf("a string of %d bytes", e.Size)
	case e.Result != nil:
		return "the result " + canonical(e.Result)
	default:
		return "a result"
	}
}
