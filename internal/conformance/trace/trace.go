package trace

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/oskadev/mailroom/internal/conformance/resp"
	"github.com/oskadev/mailroom/internal/frames"
)

// Command is one command that a worker sent to Redis.
type Command struct {
	Seq    int
	conn   int // number of the connection
	Name   string
	Args   []string
	Script string // of EVAL, EVALSHA and FCALL: the name of the script, or "unknown"
	Sent   time.Time

	// Guarded by the mutex of the trace.
	Reply    *resp.Value
	Answered time.Time
	ReplySeq int  // its place among the commands and answers
	Lost     bool // the proxy did not pass on the command or its answer
}

// String returns the command in one line.
func (c *Command) String() string {
	text := fmt.Sprintf("%s conn %d: %s", c.Sent.Format("05.000"), c.conn, c.Name)
	if c.Script != "" {
		text += "[" + c.Script + "]"
	}
	for i, arg := range c.Args[1:] {
		if i > 20 {
			return text + " …"
		}
		if len(arg) > 60 {
			arg = arg[:60] + "…"
		}
		if strings.ContainsAny(arg, " \n\r\"") || arg == "" {
			arg = strconv.Quote(arg)
		}
		text += " " + arg
	}
	return text
}

// Arg returns an argument, or the empty string.
func (c *Command) Arg(i int) string {
	if i < 0 || i >= len(c.Args) {
		return ""
	}
	return c.Args[i]
}

// Option returns the argument behind a word, without regard to case.
func (c *Command) Option(word string) (string, bool) {
	for i, arg := range c.Args[1:] {
		if strings.EqualFold(arg, word) && i+2 < len(c.Args) {
			return c.Args[i+2], true
		}
	}
	return "", false
}

// ScriptKeys returns the keys and the arguments of EVAL, EVALSHA and FCALL.
func (c *Command) ScriptKeys() (keys, args []string) {
	n, err := strconv.Atoi(c.Arg(2))
	if err != nil || n < 0 || 3+n > len(c.Args) {
		return nil, nil
	}
	return c.Args[3 : 3+n], c.Args[3+n:]
}

// Keys returns the keys of a command.
func (c *Command) Keys() []string {
	switch c.Name {
	case "PING", "HELLO", "AUTH", "CLIENT", "SELECT", "TIME", "INFO", "COMMAND", "ECHO", "QUIT", "CLUSTER", "MULTI", "EXEC", "DISCARD",
		"WAIT", "READONLY", "ASKING", "PUBLISH", "SUBSCRIBE", "PSUBSCRIBE", "UNSUBSCRIBE", "PUNSUBSCRIBE", "SCRIPT", "FUNCTION", "CONFIG", "FLUSHALL":
		return nil
	case "EVAL", "EVALSHA", "FCALL":
		keys, _ := c.ScriptKeys()
		return keys
	case "XREADGROUP", "XREAD":
		for i, arg := range c.Args {
			if strings.EqualFold(arg, "STREAMS") {
				rest := c.Args[i+1:]
				return rest[:len(rest)/2]
			}
		}
		return nil
	case "XGROUP", "XINFO":
		return []string{c.Arg(2)}
	case "DEL", "UNLINK", "EXISTS", "MGET":
		return c.Args[1:]
	default:
		return []string{c.Arg(1)}
	}
}

// Channels returns the channels of a command.
func (c *Command) Channels() []string {
	switch c.Name {
	case "PUBLISH":
		return []string{c.Arg(1)}
	case "SUBSCRIBE", "PSUBSCRIBE":
		return c.Args[1:]
	default:
		return nil
	}
}

// Entries returns the IDs of the entries in the answer of a read or a claim.
func (c *Command) Entries() []string {
	if c.Reply == nil || c.Lost || c.Reply.IsError() {
		return nil
	}
	items := c.Reply.Items
	if c.Script == "trial" {
		if len(items) < 6 {
			return nil
		}
		return []string{items[1].Text}
	}
	if c.Name == "XREADGROUP" {
		if c.Reply.Kind == '%' && len(items) == 2 { // RESP3: a map of streams
			items = items[1].Items
		} else if len(items) == 1 && len(items[0].Items) == 2 {
			items = items[0].Items[1].Items
		}
	}
	var ids []string
	for _, entry := range items {
		if len(entry.Items) > 0 {
			ids = append(ids, entry.Items[0].Text)
		}
	}
	return ids
}

// Frame is one frame between the host and a worker.
type Frame struct {
	Pid  int
	Sent bool // by the worker
	Text string
	At   time.Time
	Seq  int
}

// Kind returns the kind of a frame of the worker.
func (f *Frame) Kind() frames.Kind {
	if w := f.Parse(); w != nil {
		return w.Kind()
	}
	return frames.KindUnknown
}

// Parse reads a frame of the worker; nil: it is none.
func (f *Frame) Parse() *frames.Worker {
	if !f.Sent {
		return nil
	}
	w, err := frames.ParseWorker([]byte(f.Text))
	if err != nil {
		return nil
	}
	return w
}

// String returns the frame in one line.
func (f *Frame) String() string {
	arrow := "←"
	if f.Sent {
		arrow = "→"
	}
	return fmt.Sprintf("%s pid %d %s %.200s", f.At.Format("05.000"), f.Pid, arrow, f.Text)
}

// HostFrame is a frame of the host.
type HostFrame struct {
	Run  string `json:"run"`
	ID   string `json:"id"`
	Lost string `json:"lost"`
}

// FromHost reads a frame of the host. Frames of the suite may be anything.
func (f *Frame) FromHost() (h HostFrame) {
	if !f.Sent {
		_ = json.Unmarshal([]byte(f.Text), &h) // see above
	}
	return h
}

// Trace records commands and frames.
type Trace struct {
	scripts map[string]string // names by digests

	mu       sync.Mutex
	last     int
	commands []*Command
	frames   []Frame
}

// New returns an empty record.
func New() *Trace { return &Trace{scripts: scriptNames()} }

// script returns the name of the script that a command runs, or "unknown".
func (t *Trace) script(c *Command) string {
	sum := strings.ToLower(c.Arg(1))
	switch c.Name {
	case "EVALSHA", "FCALL":
	case "EVAL":
		sum = Digest(c.Arg(1))
	default:
		return ""
	}
	return cmp.Or(t.scripts[sum], "unknown")
}

// Add records a command.
func (t *Trace) Add(conn int, args []string) *Command {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last++
	c := &Command{Seq: t.last, conn: conn, Args: args, Sent: time.Now()}
	if len(args) == 0 {
		c.Args = []string{""}
	}
	c.Name = strings.ToUpper(c.Args[0])
	c.Script = t.script(c)
	t.commands = append(t.commands, c)
	return c
}

// Answer records the answer to a command.
func (t *Trace) Answer(c *Command, v resp.Value, lost bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last++
	c.Reply, c.Answered, c.Lost, c.ReplySeq = &v, time.Now(), lost, t.last
}

// AddFrame records a frame.
func (t *Trace) AddFrame(pid int, sent bool, text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last++
	t.frames = append(t.frames, Frame{Pid: pid, Sent: sent, Text: text, At: time.Now(), Seq: t.last})
}

// All returns copies of the commands so far.
func (t *Trace) All() []Command {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]Command, len(t.commands))
	for i, c := range t.commands {
		list[i] = *c
	}
	return list
}

// Named returns the commands with one of the names. The name of a script stands for its
// calls.
func (t *Trace) Named(names ...string) []Command {
	return slices.DeleteFunc(t.All(), func(c Command) bool {
		return !slices.Contains(names, c.Name) && (c.Script == "" || !slices.Contains(names, c.Script))
	})
}

// AllFrames returns a copy of the frames so far.
func (t *Trace) AllFrames() []Frame {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.frames)
}
