package resp

import (
	"strconv"

	"github.com/oskadev/mailroom/internal/script"
)

// Commands is a buffer of commands in RESP2, ready to be sent. The zero value is
// empty and ready to use.
type Commands struct {
	buf   []byte
	heads []int // where each command begins
}

// maxKept is the largest buffer, in bytes, that is kept for the next batch.
const maxKept = 1 << 20

// Reset removes all commands.
func (c *Commands) Reset() {
	if c.heads = c.heads[:0]; cap(c.buf) > maxKept {
		c.buf = nil
	}
	c.buf = c.buf[:0]
}

// Len is the number of commands.
func (c *Commands) Len() int { return len(c.heads) }

// Bytes returns all commands as they are sent. Valid until the next change.
func (c *Commands) Bytes() []byte { return c.buf }

// at returns one command as it is sent.
func (c *Commands) at(i int) []byte {
	if i+1 < len(c.heads) {
		return c.buf[c.heads[i]:c.heads[i+1]]
	}
	return c.buf[c.heads[i]:]
}

// Begin opens a command of n words, its name included. Exactly n words follow.
func (c *Commands) Begin(n int) {
	c.heads = append(c.heads, len(c.buf))
	c.head('*', n)
}

func (c *Commands) head(kind byte, n int) {
	c.buf = strconv.AppendInt(append(c.buf, kind), int64(n), 10)
	c.buf = append(c.buf, '\r', '\n')
}

// Text adds a word.
func (c *Commands) Text(s string) {
	c.head('$', len(s))
	c.buf = append(append(c.buf, s...), '\r', '\n')
}

// Raw adds a word.
func (c *Commands) Raw(b []byte) {
	c.head('$', len(b))
	c.buf = append(append(c.buf, b...), '\r', '\n')
}

// Number adds a decimal number as a word.
func (c *Commands) Number(n int64) {
	var digits [20]byte
	c.Raw(strconv.AppendInt(digits[:0], n, 10))
}

// Millis adds a time or a duration in milliseconds; 0 becomes an empty word.
func (c *Commands) Millis(ms int64) {
	if ms == 0 {
		c.Text("")
		return
	}
	c.Number(ms)
}

// Copy adds one command that was written before.
func (c *Commands) Copy(command []byte) {
	c.heads = append(c.heads, len(c.buf))
	c.buf = append(c.buf, command...)
}

// Add adds a whole command.
func (c *Commands) Add(words ...string) {
	c.Begin(len(words))
	for _, word := range words {
		c.Text(word)
	}
}

// Script opens a call of a script with so many keys and arguments, which follow. With source
// the server gets the script before (FUNCTION LOAD, one more command) or in the call (EVAL).
func (c *Commands) Script(s script.Script, source bool, keys, args int) {
	if source && s.Functions() {
		c.Add("function", "load", s.Library())
	}
	c.Begin(3 + keys + args)
	switch {
	case s.Functions():
		c.Text("fcall")
		c.Text(s.Function)
	case source:
		c.Text("eval")
		c.Text(s.Source)
	default:
		c.Text("evalsha")
		c.Text(s.SHA)
	}
	c.Number(int64(keys))
}
