package frames

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/oskadev/mailroom/bus/wire"
)

// MaxLine is the maximum size of a frame on a pipe or a unix socket, in bytes: that of the
// largest reply, and room for the rest of the frame.
const MaxLine = wire.MaxReply + 1<<20

// Worker is any frame that a worker sends. Kind says which one it is.
type Worker struct {
	Auth        *string        `json:"auth"`
	Serve       jsontext.Value `json:"serve"`
	Concurrency *int           `json:"concurrency"`

	Run        string         `json:"run"`
	OK         *bool          `json:"ok"`
	Result     jsontext.Value `json:"result"`
	Error      *Failure       `json:"error"`
	Status     int            `json:"status"`
	Location   string         `json:"location"`
	Invalidate []string       `json:"invalidate"`
	Retry      bool           `json:"retry"`
	Reason     string         `json:"reason"`
	Stopped    bool           `json:"stopped"`
	Extend     int64          `json:"extend"`
	Progress   jsontext.Value `json:"progress"`

	Call    string           `json:"call"`
	Service string           `json:"service"`
	Request string           `json:"request"`
	Args    []jsontext.Value `json:"args"`

	Drain bool `json:"drain"`
}

// Failure is the error of a failed run.
type Failure struct {
	Code    string         `json:"code"`
	Message string         `json:"message"`
	Status  int            `json:"status"`
	Details jsontext.Value `json:"details"`
	// Service and Action name the action that failed, where it is another one.
	Service string `json:"service"`
	Action  string `json:"action"`
}

// Kind is the kind of a worker's frame.
type Kind uint8

// The kinds. KindUnknown is no frame of this version.
const (
	KindUnknown  Kind = iota
	KindServe         // the manifest
	KindFinal         // the final frame of a run
	KindExtend        // a run needs more time
	KindProgress      // a run reports progress
	KindCall          // a run calls another service
	KindDrain         // the worker takes no more runs
)

// Kind returns the kind of the frame.
func (w *Worker) Kind() Kind {
	switch {
	case len(w.Serve) > 0:
		return KindServe
	case w.Call != "":
		return KindCall
	case w.Drain:
		return KindDrain
	case w.Run == "":
		return KindUnknown
	case w.finals() > 1:
		return KindUnknown
	case w.finals() == 1:
		return KindFinal
	case w.Extend > 0:
		return KindExtend
	case len(w.Progress) > 0:
		return KindProgress
	default:
		return KindUnknown
	}
}

// finals returns how many members of a final frame it has; they exclude each other.
func (w *Worker) finals() int {
	n := 0
	for _, has := range [...]bool{w.OK != nil, w.Retry, w.Stopped} {
		if has {
			n++
		}
	}
	return n
}

// Serving is the answer to the manifest of a worker.
type Serving struct {
	Service string
	Worker  string
}

// Append appends the frame.
func (s *Serving) Append(dst []byte) []byte {
	dst = appendString(append(dst, `{"serving":`...), s.Service)
	dst = appendString(append(dst, `,"worker":`...), s.Worker)
	return append(dst, '}')
}

// Run is a request for a worker.
type Run struct {
	// Run names the run on its connection.
	Run    string
	Action string
	Args   []json.RawMessage
	// Deadline is the time left.
	Deadline  time.Duration
	Attempt   int
	ID        string
	RequestID string
	Principal *wire.Principal
	Version   string
	Trace     string
}

// Append appends the frame.
func (r *Run) Append(dst []byte) []byte {
	dst = appendString(append(dst, `{"run":`...), r.Run)
	dst = appendString(append(dst, `,"action":`...), r.Action)
	dst = append(dst, `,"args":[`...)
	for i, arg := range r.Args {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendJSON(dst, arg)
	}
	dst = strconv.AppendInt(append(dst, `],"deadline":`...), max(0, r.Deadline.Milliseconds()), 10)
	dst = strconv.AppendInt(append(dst, `,"attempt":`...), int64(r.Attempt), 10)
	dst = appendString(append(dst, `,"id":`...), r.ID)
	if r.RequestID != "" {
		dst = appendString(append(dst, `,"request_id":`...), r.RequestID)
	}
	if r.Principal != nil {
		text, _ := json.Marshal(r.Principal) // strings can always be encoded
		dst = append(append(dst, `,"principal":`...), text...)
	}
	if r.Version != "" {
		dst = appendString(append(dst, `,"version":`...), r.Version)
	}
	if r.Trace != "" {
		dst = appendString(append(dst, `,"traceparent":`...), r.Trace)
	}
	return append(dst, '}')
}

// LostReason is why a worker should stop a run.
type LostReason string

// The reasons.
const (
	LostDeadline  LostReason = "deadline"  // it has passed
	LostCancelled LostReason = "cancelled" // by the caller
	LostTaken     LostReason = "taken"     // another worker has the request
	LostDrain     LostReason = "drain"     // the worker has no more time
)

// AppendLost appends the frame that tells a worker to stop a run.
func AppendLost(dst []byte, run string, reason LostReason) []byte {
	dst = appendString(append(dst, `{"lost":`...), run)
	dst = appendString(append(dst, `,"reason":`...), string(reason))
	return append(dst, '}')
}

// AppendDrain appends the frame that says that no more runs follow.
func AppendDrain(dst []byte) []byte { return append(dst, `{"drain":true}`...) }

// AppendAnswer appends the answer to a call of a worker: an envelope of the bus.
func AppendAnswer(dst []byte, call, envelope string) []byte {
	dst = appendString(append(dst, `{"call":`...), call)
	dst = append(dst, ',')
	return appendJSON(dst, []byte(envelope[1:]))
}

// appendString appends a JSON string.
func appendString(dst []byte, s string) []byte {
	dst, _ = jsontext.AppendQuote(dst, s) // invalid UTF-8 is replaced
	return dst
}

// appendJSON appends a part of a JSON text without its line breaks.
func appendJSON(dst, text []byte) []byte {
	if bytes.IndexByte(text, '\n') < 0 && bytes.IndexByte(text, '\r') < 0 {
		return append(dst, text...)
	}
	for _, c := range text { // strings have no line breaks
		if c == '\n' || c == '\r' {
			c = ' '
		}
		dst = append(dst, c)
	}
	return dst
}
