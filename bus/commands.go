package bus

import "strconv"

// commands are commands on their way to Redis, as its protocol wants them (RESP2,
// https://redis.io/docs/latest/develop/reference/protocol-spec/): what is sent of a
// request is written once, into one buffer that stays.
type commands struct {
	buf   []byte
	heads []int // where each begins
}

// most is how large a buffer may be that is kept for the next batch.
const most = 1 << 20

func (c *commands) reset() {
	if c.heads = c.heads[:0]; cap(c.buf) > most {
		c.buf = nil
	}
	c.buf = c.buf[:0]
}

// count is how many there are.
func (c *commands) count() int { return len(c.heads) }

// at is one of them, as it is sent.
func (c *commands) at(i int) []byte {
	if i+1 < len(c.heads) {
		return c.buf[c.heads[i]:c.heads[i+1]]
	}
	return c.buf[c.heads[i]:]
}

// begin opens a command of so many words, its name included. They follow.
func (c *commands) begin(words int) {
	c.heads = append(c.heads, len(c.buf))
	c.head('*', words)
}

func (c *commands) head(kind byte, n int) {
	c.buf = strconv.AppendInt(append(c.buf, kind), int64(n), 10)
	c.buf = append(c.buf, '\r', '\n')
}

func (c *commands) text(s string) {
	c.head('$', len(s))
	c.buf = append(append(c.buf, s...), '\r', '\n')
}

func (c *commands) bytes(b []byte) {
	c.head('$', len(b))
	c.buf = append(append(c.buf, b...), '\r', '\n')
}

func (c *commands) number(n int64) {
	var digits [20]byte
	c.bytes(strconv.AppendInt(digits[:0], n, 10))
}

// millis writes a time or a duration in ms; 0 is none, an empty word.
func (c *commands) millis(ms int64) {
	if ms == 0 {
		c.text("")
		return
	}
	c.number(ms)
}

// copy adds a command that was written before.
func (c *commands) copy(command []byte) {
	c.heads = append(c.heads, len(c.buf))
	c.buf = append(c.buf, command...)
}

// add writes a whole command.
func (c *commands) add(words ...string) {
	c.begin(len(words))
	for _, word := range words {
		c.text(word)
	}
}
