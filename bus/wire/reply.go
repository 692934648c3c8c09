package wire

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Limits of an outcome's envelope, in bytes. An envelope over LargeReply is stored and
// not published: the reply line tells so. An envelope over MaxReply is an error.
const (
	LargeReply = 64 << 10
	MaxReply   = 4 << 20
)

// MaxMeta is the length of the longest metadata of a reply, in bytes.
const MaxMeta = 64 << 10

// LargeReplyTTL is how long the stored reply of a safe request is kept.
const LargeReplyTTL = time.Minute

// Reply is one reply: its metadata and its envelope, both as received.
type Reply struct {
	// Meta is the second word of the reply line. See ParseReplyMeta.
	Meta string
	// Envelope is the JSON of the reply, {"ok":true,"result":…} or
	// {"ok":false,"error":{…}}.
	Envelope string
	// Replayed reports that the outcome was stored before this call: an earlier call had
	// the same ID.
	Replayed bool
}

// ReplyMeta is the metadata of a reply.
type ReplyMeta struct {
	// Worker is the identifier of the worker that answered.
	Worker string
	// Attempt counts the deliveries of the request, from 1; 0: not known.
	Attempt int
	// Queue is the time between enqueueing and running.
	Queue time.Duration
	// Run is the time that the handler took.
	Run time.Duration
	// Status is the HTTP status of the answer; 0: the gateway's default.
	Status int
	// Location is the path of a created resource or of a request's outcome.
	Location string
	// Tags are the cache tags that the handler invalidated.
	Tags []string
	// Timing holds more entries of the header Server-Timing.
	Timing string
	// RetryAfter is the time after which a retry may succeed, in whole seconds; 0: not
	// known. Only shared replies have it.
	RetryAfter time.Duration
	// Stored reports that the envelope is too long to publish: read the record.
	Stored bool
}

// Append appends the metadata in wire format: "-" if there is none, otherwise
// comma-separated name=value pairs with percent-encoded values.
func (m ReplyMeta) Append(dst []byte) []byte {
	if dst == nil {
		dst = make([]byte, 0, 96) // most have about 60 bytes
	}
	start := len(dst)
	pair := func(name string) {
		if len(dst) > start {
			dst = append(dst, ',')
		}
		dst = append(dst, name...)
		dst = append(dst, '=')
	}
	if m.Worker != "" {
		pair("worker")
		dst = append(dst, escape(m.Worker)...)
	}
	if m.Attempt > 0 {
		pair("attempt")
		dst = strconv.AppendInt(dst, int64(m.Attempt), 10)
	}
	if m.Queue > 0 {
		pair("queue")
		dst = AppendMillis(dst, m.Queue)
	}
	if m.Run > 0 {
		pair("run")
		dst = AppendMillis(dst, m.Run)
	}
	if m.Status != 0 {
		pair("status")
		dst = strconv.AppendInt(dst, int64(m.Status), 10)
	}
	if m.Location != "" {
		pair("location")
		dst = append(dst, escape(m.Location)...)
	}
	if len(m.Tags) > 0 {
		pair("tags")
		dst = append(dst, escape(strings.Join(m.Tags, " "))...)
	}
	if m.Timing != "" {
		pair("timing")
		dst = append(dst, escape(m.Timing)...)
	}
	if m.RetryAfter > 0 {
		pair("retry")
		dst = strconv.AppendInt(dst, int64((m.RetryAfter+time.Second-1)/time.Second), 10)
	}
	if m.Stored {
		pair("stored")
		dst = append(dst, '1')
	}
	if len(dst) == start {
		dst = append(dst, '-')
	}
	return dst
}

// escape percent-encodes everything but letters, digits and "-_.~", a space as %20, so
// that the bytes of a reply are predictable.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// AppendMillis appends a duration in milliseconds with up to three decimals. A negative
// one counts as 0.
func AppendMillis(dst []byte, d time.Duration) []byte {
	us := max(0, d.Microseconds())
	dst = strconv.AppendInt(dst, us/1000, 10)
	if us %= 1000; us == 0 {
		return dst
	}
	dst = append(dst, '.', byte('0'+us/100), byte('0'+us/10%10), byte('0'+us%10))
	for dst[len(dst)-1] == '0' {
		dst = dst[:len(dst)-1]
	}
	return dst
}

// ParseReplyMeta reads the metadata of a reply line. Unknown names are ignored.
func ParseReplyMeta(s string) (ReplyMeta, error) {
	var m ReplyMeta
	if s == "-" || s == "" {
		return m, nil
	}
	if len(s) > MaxMeta {
		return m, fmt.Errorf("reply meta: %d bytes, more than %d", len(s), MaxMeta)
	}
	for pair := range strings.SplitSeq(s, ",") {
		name, value, _ := strings.Cut(pair, "=")
		if err := m.set(name, value); err != nil { // it has the whole value, which may be long
			return ReplyMeta{}, fmt.Errorf("reply meta %s: cannot read %.64q", name, value)
		}
	}
	return m, nil
}

func (m *ReplyMeta) set(name, value string) (err error) {
	switch name {
	case "worker":
		m.Worker, err = url.PathUnescape(value)
	case "attempt":
		m.Attempt, err = strconv.Atoi(value)
	case "queue":
		m.Queue, err = parseDuration(value)
	case "run":
		m.Run, err = parseDuration(value)
	case "status":
		m.Status, err = strconv.Atoi(value)
	case "location":
		m.Location, err = url.PathUnescape(value)
	case "tags":
		value, err = url.PathUnescape(value)
		m.Tags = strings.Fields(value)
	case "timing":
		m.Timing, err = url.PathUnescape(value)
	case "retry":
		var seconds int
		seconds, err = strconv.Atoi(value)
		m.RetryAfter = time.Duration(seconds) * time.Second
	case "stored":
		m.Stored = value == "1"
	}
	return err
}

func parseDuration(ms string) (time.Duration, error) {
	f, err := strconv.ParseFloat(ms, 64)
	if err != nil || !(f >= 0 && f <= 1e12) { // false for NaN too
		return 0, fmt.Errorf("%.20q is not a number of milliseconds", ms)
	}
	return time.Duration(f * float64(time.Millisecond)), nil
}

// progressSuffix follows the ID in a line that reports progress. Readers that do not know
// it find no request of that name.
const progressSuffix = "+progress"

// ProgressLine returns the line that reports the progress of a request: JSON without line
// breaks.
func ProgressLine(id string, progress []byte) string {
	return id + progressSuffix + " - " + string(progress) + "\n"
}

// CutProgress returns the ID in the name of a line that reports progress.
func CutProgress(name string) (id string, found bool) { return strings.CutSuffix(name, progressSuffix) }

var errReplyLine = errors.New("not a reply line: want <id> <meta> <envelope>")

// ParseReplyLine splits a line without its line break into the ID and the reply.
func ParseReplyLine(line string) (id string, r Reply, err error) {
	id, rest, ok := strings.Cut(line, " ")
	if !ok {
		return "", Reply{}, errReplyLine
	}
	r, err = ParseOutcome(rest)
	return id, r, err
}

// ParseOutcome reads the outcome in a record: a reply line without the ID.
func ParseOutcome(s string) (Reply, error) {
	meta, envelope, ok := strings.Cut(s, " ")
	if !ok || meta == "" || envelope == "" {
		return Reply{}, errReplyLine
	}
	return Reply{Meta: meta, Envelope: envelope}, nil
}

// Entry returns the run of the ID that the reply belongs to; empty: not known.
func (r Reply) Entry() string {
	for pair := range strings.SplitSeq(r.Meta, ",") {
		if entry, found := strings.CutPrefix(pair, "entry="); found {
			return entry
		}
	}
	return ""
}

// StoredEnvelope is in place of an envelope that must be read from the record.
const StoredEnvelope = "-"

// Stored reports whether the envelope must be read from the record.
func (r Reply) Stored() bool { return r.Envelope == StoredEnvelope }
