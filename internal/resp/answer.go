package resp

import (
	"bytes"
	"errors"
	"strconv"
)

// Limits bound what one answer may make the process hold, in bytes.
type Limits struct {
	// String is the length of the longest string. A longer one is read and thrown away, and
	// counts as nil: see Conn.Dropped. Defaults to no limit.
	String int
	// Answer is the size of the longest answer, dropped strings included. A longer one ends
	// the connection with ErrTooLong, before its strings are read. Defaults to no limit.
	Answer int
}

// ErrTooLong reports an answer over Limits.Answer.
var ErrTooLong = errors.New("an answer of Redis is longer than its limit")

// Dropped returns the number of strings that were over Limits.String so far.
func (c *Conn) Dropped() int { return c.dropped }

// maxLength is the largest length of a string or a list that Redis can give.
const maxLength = 1 << 30

// answer finds the end of the answer that begins at an offset behind from, and reads until
// it has come.
func (c *Conn) answer(at int) (int, error) {
	size, longest := 0, maxLength
	if c.Limits.Answer > 0 {
		longest = c.Limits.Answer
	}
	for values := 1; values > 0; values-- {
		line, err := c.line(at)
		if err != nil {
			return 0, err
		}
		head := at
		at += len(line) + 2
		size += len(line) + 2
		if line[0] == '*' || line[0] == '$' {
			n, err := strconv.Atoi(string(line[1:]))
			switch {
			case err != nil || n < -1 || n > maxLength:
				return 0, ErrProtocol
			case line[0] == '*':
				values += max(n, 0)
			case n >= 0:
				if size += n + 2; size > longest {
					return 0, ErrTooLong
				}
				if at, err = c.take(head, at, n); err != nil {
					return 0, err
				}
			}
		}
		if c.Limits.Answer > 0 && max(size, values) > longest {
			return 0, ErrTooLong
		}
	}
	return at, nil
}

// line returns the line at an offset, without its end. It reads until the line has come.
func (c *Conn) line(at int) ([]byte, error) {
	end := bytes.IndexByte(c.in[c.from+at:], '\n')
	for end < 0 {
		if c.Limits.Answer > 0 && len(c.in)-c.from-at > c.Limits.Answer {
			return nil, ErrTooLong
		}
		if err := c.fill(); err != nil {
			return nil, err
		}
		end = bytes.IndexByte(c.in[c.from+at:], '\n')
	}
	if end < 2 {
		return nil, ErrProtocol
	}
	return c.in[c.from+at : c.from+at+end-1], nil
}

// take reads a string of n bytes at an offset, whose head begins at another, and returns
// the offset behind it. A string over the limit becomes nil.
func (c *Conn) take(head, at, n int) (int, error) {
	end := at + n + 2
	if c.Limits.String <= 0 || n <= c.Limits.String {
		for len(c.in)-c.from < end {
			if err := c.fill(); err != nil {
				return 0, err
			}
		}
		return end, nil
	}
	c.dropped++
	for missing := end - (len(c.in) - c.from); missing > 0; missing = end - (len(c.in) - c.from) {
		end -= len(c.in) - c.from - at // throw away what has come
		c.in = c.in[:c.from+at]
		if err := c.fill(); err != nil {
			return 0, err
		}
	}
	const null = "$-1\r\n"
	rest := c.in[c.from+end:]
	c.in = append(append(c.in[:c.from+head], null...), rest...) // null is shorter than what it replaces
	return head + len(null), nil
}
