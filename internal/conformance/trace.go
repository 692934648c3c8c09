package conformance

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/oskadev/mailroom/internal/frames"
)

// command is one command that a worker sent to Redis.
type command struct {
	seq    int
	conn   int // number of the connection
	name   string
	args   []string
	script string // of EVAL and EVALSHA: the name of the script, or "unknown"
	sent   time.Time

	// Guarded by the mutex of the trace.
	reply    *value
	answered time.Time
	replySeq int  // its place among the commands and answers
	lost     bool // the proxy did not pass on the command or its answer
}

// String returns the command in one line.
func (c *command) String() string {
	text := fmt.Sprintf("%s conn %d: %s", c.sent.Format("05.000"), c.conn, c.name)
	if c.script != "" {
		text += "[" + c.script + "]"
	}
	for i, arg := range c.args[1:] {
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

// arg returns an argument, or the empty string.
func (c *command) arg(i int) string {
	if i < 0 || i >= len(c.args) {
		return ""
	}
	return c.args[i]
}

// option returns the argument behind a word, without regard to case.
func (c *command) option(word string) (string, bool) {
	for i, arg := range c.args[1:] {
		if strings.EqualFold(arg, word) && i+2 < len(c.args) {
			return c.args[i+2], true
		}
	}
	return "", false
}

// scriptKeys returns the keys and the arguments of EVAL and EVALSHA.
func (c *command) scriptKeys() (keys, args []string) {
	n, err := strconv.Atoi(c.arg(2))
	if err != nil || n < 0 || 3+n > len(c.args) {
		return nil, nil
	}
	return c.args[3 : 3+n], c.args[3+n:]
}

// frame is one frame between the host and a worker.
type frame struct {
	pid  int
	sent bool // by the worker
	text string
	at   time.Time
	seq  int
}

// kind returns the kind of a frame of the worker.
func (f *frame) kind() frames.Kind {
	if w := f.parse(); w != nil {
		return w.Kind()
	}
	return frames.KindUnknown
}

// parse reads a frame of the worker; nil: it is none.
func (f *frame) parse() *frames.Worker {
	if !f.sent {
		return nil
	}
	w, err := frames.ParseWorker([]byte(f.text))
	if err != nil {
		return nil
	}
	return w
}

// String returns the frame in one line.
func (f *frame) String() string {
	arrow := "←"
	if f.sent {
		arrow = "→"
	}
	return fmt.Sprintf("%s pid %d %s %.200s", f.at.Format("05.000"), f.pid, arrow, f.text)
}

// trace records commands and frames.
type trace struct {
	scripts map[string]string // names by digests

	mu       sync.Mutex
	last     int
	commands []*command
	frames   []frame
}

func newTrace() *trace { return &trace{scripts: scriptNames()} }

// script returns the name of the script that a command runs, or "unknown".
func (t *trace) script(c *command) string {
	sum := strings.ToLower(c.arg(1))
	switch c.name {
	case "EVALSHA":
	case "EVAL":
		sum = digest(c.arg(1))
	default:
		return ""
	}
	return cmp.Or(t.scripts[sum], "unknown")
}

// add records a command.
func (t *trace) add(conn int, args []string) *command {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last++
	c := &command{seq: t.last, conn: conn, args: args, sent: time.Now()}
	if len(args) == 0 {
		c.args = []string{""}
	}
	c.name = strings.ToUpper(c.args[0])
	c.script = t.script(c)
	t.commands = append(t.commands, c)
	return c
}

// answer records the answer to a command.
func (t *trace) answer(c *command, v value, lost bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last++
	c.reply, c.answered, c.lost, c.replySeq = &v, time.Now(), lost, t.last
}

// addFrame records a frame.
func (t *trace) addFrame(pid int, sent bool, text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last++
	t.frames = append(t.frames, frame{pid: pid, sent: sent, text: text, at: time.Now(), seq: t.last})
}

// all returns copies of the commands so far.
func (t *trace) all() []command {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]command, len(t.commands))
	for i, c := range t.commands {
		list[i] = *c
	}
	return list
}

// named returns the commands with one of the names. The name of a script stands for its
// calls.
func (t *trace) named(names ...string) []command {
	return slices.DeleteFunc(t.all(), func(c command) bool {
		return !slices.Contains(names, c.name) && (c.script == "" || !slices.Contains(names, c.script))
	})
}

// allFrames returns a copy of the frames so far.
func (t *trace) allFrames() []frame {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.frames)
}
