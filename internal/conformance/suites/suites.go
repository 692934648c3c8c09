package suites

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
)

// Files has the files of the checks.
//
//go:embed *.yaml
var Files embed.FS

// Transport is how a worker speaks.
type Transport string

// The transports.
const (
	Native Transport = "native" // the protocol in Redis
	Frames Transport = "frames" // frames, as the child of a host
	Socket Transport = "socket" // frames, on a WebSocket of a gateway
)

// Suite is a file of checks.
type Suite struct {
	Level  int     `json:"level"`
	Checks []Check `json:"checks"`
}

// Check is one check of a worker.
type Check struct {
	Name  string `json:"name"`
	About string `json:"about"`
	// On lists the transports; empty: all. Frames include sockets. Not excepts some.
	On  []Transport `json:"on"`
	Not []Transport `json:"not"`
	// Unstarted means that a step starts the worker. Otherwise it runs before the first step.
	Unstarted bool `json:"unstarted"`
	// User lets the worker log in as a user with the rights of its role.
	User  bool   `json:"user"`
	Steps []Step `json:"steps"`

	Level int `json:"-"`
}

// Step is one step of a check. Exactly one member is set.
type Step struct {
	Start  *struct{}  `json:"start"`  // starts a worker and waits until it is registered
	Send   *Send      `json:"send"`   // sends a request
	Call   *Call      `json:"call"`   // sends a request and expects the reply
	Reply  *Reply     `json:"reply"`  // expects the reply to a request
	Silent *Silent    `json:"silent"` // expects no reply
	Redis  *Redis     `json:"redis"`  // runs a command and compares the answer
	Take   *Take      `json:"take"`   // another worker takes a request
	Settle *Settle    `json:"settle"` // that worker ends it
	Fault  *Fault     `json:"fault"`  // the proxy injects a fault
	Signal string     `json:"signal"` // sends a signal to the worker: KILL, STOP, CONT, TERM
	Drain  *struct{}  `json:"drain"`  // tells the worker to finish and end
	Exit   *Exit      `json:"exit"`   // expects that the worker ends
	Wait   *Wait      `json:"wait"`   // waits
	Cancel string     `json:"cancel"` // cancels a running request
	Frame  string     `json:"frame"`  // sends a message to the worker, beside those of the host
	Rule   *RuleCheck `json:"rule"`   // checks the recorded commands or frames
}

// Send describes a request.
type Send struct {
	// As names the request in other steps. Defaults to its action.
	As     string          `json:"as"`
	Action string          `json:"action"`
	Args   json.RawMessage `json:"args"`
	// Safe overrides whether the request is safe. Defaults to what the action is.
	Safe *bool `json:"safe"`
	// Deadline is the time to its deadline, which may be negative; "none": it has none.
	// Defaults to 10 s.
	Deadline duration `json:"deadline"`
	// Reply is the channel of the reply; "none": no caller waits. Defaults to the own channel.
	Reply string `json:"reply"`
	// Meta is the field meta.
	Meta string `json:"meta"`
	// Fields overrides fields of the entry; null removes one. The entry is then added
	// without a record.
	Fields map[string]*string `json:"fields"`
	// Pad replaces the arguments by one object with a text of this length; the reply has to be
	// the same object.
	Pad int `json:"pad"`
	// Times is how many such requests are sent. Their names end in their numbers, from 1.
	Times int `json:"times"`
}

// Call is a request and its expected reply.
type Call struct {
	Send
	Expect
}

// Reply names a request and describes the expected reply.
type Reply struct {
	To string `json:"to"`
	Expect
}

// Expect describes a reply. Unset members match anything.
type Expect struct {
	Result json.RawMessage `json:"result"`
	// Size is the length of a result that is a string.
	Size  int          `json:"size"`
	Error *ExpectError `json:"error"`
	// Attempt, Status, Tags and Stored are those of the reply's meta.
	Attempt int      `json:"attempt"`
	Status  int      `json:"status"`
	Tags    []string `json:"tags"`
	Stored  bool     `json:"stored"`
	// Within is the time in which the reply has to come. Defaults to 5 s and an idle limit.
	Within duration `json:"within"`
	// After is the time before which it must not come.
	After duration `json:"after"`
}

// ExpectError describes the error of a reply.
type ExpectError struct {
	Code    string          `json:"code"`
	Status  int             `json:"status"`
	Message string          `json:"message"`
	Details json.RawMessage `json:"details"`
	// Without is a text that the message must not have.
	Without string `json:"without"`
	// Action is the action of the service that failed.
	Action        string `json:"action"`
	RequestID     string `json:"request_id"`
	CorrelationID bool   `json:"correlation_id"`
}

// Silent names a request that must not be answered.
type Silent struct {
	To  string   `json:"to"`
	For duration `json:"for"`
}

// Redis is a command and the expected answer. In its words, ${…} stands for a value of the
// check.
type Redis struct {
	Do []string `json:"do"`
	// Is is the answer. Unset matches anything.
	Is json.RawMessage `json:"is"`
	// Min and Max limit a number.
	Min *float64 `json:"min"`
	Max *float64 `json:"max"`
	// Within is the time in which the answer has to fit. Defaults to 5 s.
	Within duration `json:"within"`
}

// Take lets a worker of the suite take a request.
type Take struct {
	Request string `json:"request"`
	// Deliveries is the delivery count that the entry then has. Defaults to one more.
	Deliveries int `json:"deliveries"`
	// Keep is for how long that worker keeps the entry before the next step.
	Keep duration `json:"keep"`
	// Hold lets it keep the entry until the check ends.
	Hold bool `json:"hold"`
	// Idle is the idle time that the entry then has.
	Idle duration `json:"idle"`
}

// Settle ends a request as the worker of the suite that took it.
type Settle struct {
	Request string          `json:"request"`
	Result  json.RawMessage `json:"result"`
}

// Fault is a fault that the proxy injects.
type Fault struct {
	// Kind is drop-reply (the command reaches Redis, its answer and the connection are
	// lost), cut-request (the command and the connection are lost), cut (all connections
	// end), refuse (new connections are refused too), accept (ends refuse), or shift-time
	// (the answers of TIME are later by Shift).
	Kind string `json:"kind"`
	// Command is the name of a command or of a script.
	Command string `json:"command"`
	// Entries limits drop-reply to answers that hold an entry.
	Entries bool `json:"entries"`
	// Times is how often the fault happens. Defaults to 1.
	Times int `json:"times"`
	// Shift is a time.
	Shift duration `json:"shift"`
}

// Exit describes how the worker ends.
type Exit struct {
	// Within defaults to 10 s.
	Within duration `json:"within"`
	// Code is the exit code. Unset matches anything.
	Code *int `json:"code"`
}

// Wait waits for a time, or until something has happened.
type Wait struct {
	For duration `json:"for"`
	// Begun names a request: wait until a worker has it.
	Begun string `json:"begun"`
	// Settled waits until the mailbox is empty.
	Settled bool `json:"settled"`
	// Within is the time to wait. Defaults to 5 s and two idle limits.
	Within duration `json:"within"`
	// Restarted waits until the host has started the worker again.
	Restarted bool `json:"restarted"`
}

// RuleCheck names a rule and its parameters.
type RuleCheck struct {
	Name    string `json:"name"`
	Request string `json:"request"`
	// Gap is a time that the rule allows.
	Gap duration `json:"gap"`
}

// duration is a time, such as "500ms" or "1.5i" (idle limits).
type duration string

// Of returns the time for an idle limit; 0 for an unset one.
func (d duration) Of(idle time.Duration) time.Duration {
	if number, ok := strings.CutSuffix(string(d), "i"); ok {
		f, _ := strconv.ParseFloat(number, 64) // check has parsed it
		return time.Duration(f * float64(idle))
	}
	t, _ := time.ParseDuration(string(d)) // check has parsed it
	return t
}

// UnmarshalJSON reads a duration.
func (d *duration) UnmarshalJSON(text []byte) error {
	var s string
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	if s == "none" { // of a deadline
		*d = duration(s)
		return nil
	}
	if number, ok := strings.CutSuffix(s, "i"); ok {
		if _, err := strconv.ParseFloat(number, 64); err != nil {
			return err
		}
	} else if _, err := time.ParseDuration(s); err != nil {
		return err
	}
	*d = duration(s)
	return nil
}

// Load reads the checks of a transport up to a level. Times in arguments, such as
// "${1.5i}", become numbers of ms.
func Load(transport Transport, level int, idle time.Duration) ([]Check, error) {
	files, err := fs.Glob(Files, "*.yaml")
	if err != nil {
		return nil, err
	}
	var all []Check
	for _, file := range files {
		text, err := Files.ReadFile(file)
		if err != nil {
			return nil, err
		}
		suite, err := parse(text, idle)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		for _, check := range suite.Checks {
			check.Level = suite.Level
			if suite.Level <= level && check.fits(transport) {
				all = append(all, check)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b Check) int { return a.Level - b.Level })
	return all, nil
}

// fits reports whether a check is for a transport.
func (c *Check) fits(transport Transport) bool {
	on := slices.Contains(c.On, transport) || transport == Socket && slices.Contains(c.On, Frames)
	return (on || len(c.On) == 0) && !slices.Contains(c.Not, transport)
}

func parse(text []byte, idle time.Duration) (*Suite, error) {
	asJSON, err := yaml.YAMLToJSON(text)
	if err != nil {
		return nil, errors.New(yaml.FormatError(err, false, true))
	}
	times := regexp.MustCompile(`"\$\{([0-9.]+i)\}"`)
	asJSON = times.ReplaceAllFunc(asJSON, func(match []byte) []byte {
		return strconv.AppendInt(nil, duration(times.FindSubmatch(match)[1]).Of(idle).Milliseconds(), 10)
	})
	var suite Suite
	decoder := json.NewDecoder(bytes.NewReader(asJSON))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&suite); err != nil {
		return nil, err
	}
	for _, check := range suite.Checks {
		for i, step := range check.Steps {
			if n := step.members(); n != 1 {
				return nil, fmt.Errorf("check %s, step %d has %d members, want 1", check.Name, i+1, n)
			}
		}
	}
	return &suite, nil
}

// members returns the number of members that are set.
func (s *Step) members() int {
	n := 0
	for _, set := range []bool{
		s.Start != nil, s.Send != nil, s.Call != nil, s.Reply != nil, s.Silent != nil, s.Redis != nil, s.Take != nil, s.Settle != nil,
		s.Fault != nil, s.Signal != "", s.Drain != nil, s.Exit != nil, s.Wait != nil, s.Cancel != "", s.Frame != "", s.Rule != nil,
	} {
		if set {
			n++
		}
	}
	return n
}
