package history

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/redis/go-redis/v9"
)

// maxText is how much of the arguments and of the outcome an entry holds, in bytes.
const maxText = 1 << 10

// Entry is one delivery of a request that has ended.
type Entry struct {
	// Entry is its ID in the stream; empty: it is not written yet.
	Entry   string `json:"entry"`
	Service string `json:"service"`
	// ID is the correlation ID.
	ID     string `json:"id"`
	Action string `json:"action"`
	// RequestID is the X-Request-Id of the call that led to the request. It is the same for
	// the steps of a composition and for the calls of handlers.
	RequestID string `json:"request_id"`
	// Caller is the service that called; empty: a client.
	Caller string `json:"caller,omitempty"`
	// Principal is the subject of the caller; empty: anonymous.
	Principal string `json:"principal,omitempty"`
	// Version is the version of the API, such as v2; empty: none.
	Version string `json:"version,omitempty"`
	// TraceParent is the W3C trace context; empty: none.
	TraceParent string `json:"traceparent,omitempty"`
	// Depth is the number of services in the chain of calls before this one.
	Depth int `json:"depth,omitempty"`
	// State is how it ended: done, dead, expired or cancelled.
	State string `json:"state"`
	// Status is the HTTP status of the outcome; 0: there is none.
	Status  int    `json:"status,omitempty"`
	Worker  string `json:"worker"`
	Attempt int    `json:"attempt"`
	// Ended is when the handler returned, in Redis time.
	Ended time.Time `json:"ended"`
	// Queue is the time from the acceptance to this delivery, Run that of the handler.
	Queue time.Duration `json:"queue"`
	Run   time.Duration `json:"run"`
	// Args and Outcome are the arguments and the envelope, cut to 1 KiB each.
	Args    string `json:"args,omitempty"`
	Outcome string `json:"outcome,omitempty"`

	notable bool // it failed, was slow or ran again: it is kept apart
}

// Accepted returns when the request was accepted.
func (e *Entry) Accepted() time.Time { return e.Ended.Add(-e.Run - e.Queue) }

// cut shortens a text to maxText bytes.
func cut(text string) string {
	if len(text) <= maxText {
		return text
	}
	text = text[:maxText-len("…")]
	for len(text) > 0 {
		if r, size := utf8.DecodeLastRuneInString(text); r != utf8.RuneError || size > 1 {
			break
		}
		text = text[:len(text)-1]
	}
	return text + "…"
}

// fields returns the entry as fields of a stream entry. Empty ones are left out.
func (e *Entry) fields() []any {
	all := make([]any, 0, 32)
	add := func(name, value string) {
		if value != "" {
			all = append(all, name, value)
		}
	}
	number := func(name string, n int64) {
		if n != 0 {
			all = append(all, name, n)
		}
	}
	add("id", e.ID)
	add("action", e.Action)
	add("state", e.State)
	number("status", int64(e.Status))
	add("worker", e.Worker)
	number("attempt", int64(e.Attempt))
	number("ended", e.Ended.UnixMilli())
	number("queue_us", e.Queue.Microseconds())
	number("run_us", e.Run.Microseconds())
	add("request_id", e.RequestID)
	add("caller", e.Caller)
	add("principal", e.Principal)
	add("version", e.Version)
	add("traceparent", e.TraceParent)
	number("depth", int64(e.Depth))
	add("args", e.Args)
	add("outcome", e.Outcome)
	return all
}

// parse reads an entry of the stream of a service. Unknown fields are ignored, and a field
// that cannot be read counts as missing.
func parse(service string, m *redis.XMessage) Entry {
	text := func(name string) string {
		value, _ := m.Values[name].(string)
		return strings.ToValidUTF8(value, "�")
	}
	number := func(name string) int64 {
		n, _ := strconv.ParseInt(text(name), 10, 64)
		return n
	}
	e := Entry{
		Entry: m.ID, Service: service, ID: text("id"), Action: text("action"), State: text("state"), Status: int(number("status")),
		Worker: text("worker"), Attempt: int(number("attempt")), Ended: time.UnixMilli(number("ended")).UTC(),
		Queue: time.Duration(number("queue_us")) * time.Microsecond, Run: time.Duration(number("run_us")) * time.Microsecond,
		RequestID: text("request_id"), Caller: text("caller"), Principal: text("principal"), Version: text("version"),
		TraceParent: text("traceparent"), Depth: int(number("depth")), Args: text("args"), Outcome: text("outcome"),
	}
	if e.RequestID == "" {
		e.RequestID = e.ID
	}
	return e
}
