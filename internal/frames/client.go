package frames

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Client is any frame that a client sends.
type Client struct {
	Auth  jsontext.Value `json:"auth"`
	Serve jsontext.Value `json:"serve"`
	Ping  jsontext.Value `json:"ping"`

	ID       jsontext.Value `json:"id"`
	Service  string         `json:"service"`
	Request  string         `json:"request"`
	Args     jsontext.Value `json:"args"`
	Key      string         `json:"key"`
	Timeout  int64          `json:"timeout"`
	Version  string         `json:"version"`
	Progress bool           `json:"progress"`
	Async    bool           `json:"async"`

	Cancel      bool   `json:"cancel"`
	Subscribe   string `json:"subscribe"`
	After       string `json:"after"`
	Unsubscribe bool   `json:"unsubscribe"`
}

// maxID is the maximum length of the ID of a request, in bytes of JSON.
const maxID = 66

// ParseClient reads a frame of a client. The error is a *Bye.
func ParseClient(text []byte) (*Client, error) {
	c := new(Client)
	if err := parse(text, c); err != nil {
		return nil, err
	}
	if len(c.ID) > 0 && (c.ID.Kind() != '0' && c.ID.Kind() != '"' || len(c.ID) > maxID) {
		return nil, &Bye{Reason: Invalid, Message: "id: want a number or a string of at most 64 bytes"}
	}
	return c, nil
}

// Hello says that a connection is open.
type Hello struct {
	Session   string
	Ping      int64 // ms between two pings of the server
	InFlight  int   // requests that may be unanswered
	Max       int   // bytes of a message
	Principal string
}

// Append appends the frame.
func (h *Hello) Append(dst []byte) []byte {
	dst = appendString(append(dst, `{"hello":{"session":`...), h.Session)
	dst = strconv.AppendInt(append(dst, `,"ping":`...), h.Ping, 10)
	dst = strconv.AppendInt(append(dst, `,"inflight":`...), int64(h.InFlight), 10)
	dst = strconv.AppendInt(append(dst, `,"max":`...), int64(h.Max), 10)
	if h.Principal != "" {
		dst = appendString(append(dst, `,"principal":`...), h.Principal)
	}
	return append(dst, "}}"...)
}

// Answer is the answer to a frame with an ID.
type Answer struct {
	ID jsontext.Value
	// Envelope is that of the HTTP answer.
	Envelope string
	// Status is left out where it is 200, or in the error of the envelope.
	Status   int
	Location string
	Ticket   string
	// RetryAfter is in ms; 0: not known.
	RetryAfter int64
}

// Append appends the frame.
func (a *Answer) Append(dst []byte) []byte {
	dst = append(append(dst, `{"id":`...), a.ID...)
	dst = append(dst, ',')
	dst = appendJSON(dst, []byte(strings.TrimLeft(a.Envelope, " \t\r\n")[1:]))
	dst = bytes.TrimRight(dst, " \t")
	dst = dst[:len(dst)-1]
	if a.Status != 0 {
		dst = strconv.AppendInt(append(dst, `,"status":`...), int64(a.Status), 10)
	}
	if a.Location != "" {
		dst = appendString(append(dst, `,"location":`...), a.Location)
	}
	if a.Ticket != "" {
		dst = appendString(append(dst, `,"ticket":`...), a.Ticket)
	}
	if a.RetryAfter > 0 {
		dst = strconv.AppendInt(append(dst, `,"retry_after":`...), a.RetryAfter, 10)
	}
	return append(dst, '}')
}

// AppendOK appends the answer to a frame that has no result.
func AppendOK(dst []byte, id jsontext.Value) []byte {
	return append(append(append(dst, `{"id":`...), id...), `,"ok":true}`...)
}

// AppendPong appends the answer to a ping of a client.
func AppendPong(dst []byte) []byte { return append(dst, `{"pong":true}`...) }
