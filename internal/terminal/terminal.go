// Package terminal writes what a program prints, so that texts of others in it can neither
// control the terminal nor leave their line or column.
//
// Open terminal.go first: Writer escapes. table.go prints rows.
package terminal

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode/utf16"
	"unicode/utf8"
)

// Writer is an output of a program. It escapes the characters that control a terminal or change
// the order in which text is shown, as in JSON (\u009b): JSON keeps its meaning. Line feeds and
// tabs pass; see Plain. It is safe for concurrent use.
type Writer struct {
	mu   sync.Mutex
	out  io.Writer
	rest []byte // the beginning of a character whose other bytes have not been written
}

// New returns a Writer to out.
func New(out io.Writer) *Writer { return &Writer{out: out} }

// Write writes p with escapes.
func (t *Writer) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := p
	if len(t.rest) > 0 {
		text = append(t.rest, p...)
	}
	whole := wholeCharacters(text)
	t.rest = bytes.Clone(text[whole:])
	if _, err := t.out.Write(Escape(text[:whole])); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Clear moves to the upper left corner and clears what follows (ECMA-48, CUP and ED).
func (t *Writer) Clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, _ = io.WriteString(t.out, "\x1b[H\x1b[J")
}

// wholeCharacters returns the length of a text without an incomplete character at its end.
func wholeCharacters(text []byte) int {
	for back := 1; back < utf8.UTFMax && back <= len(text); back++ {
		if at := len(text) - back; utf8.RuneStart(text[at]) {
			if !utf8.FullRune(text[at:]) {
				return at
			}
			break
		}
	}
	return len(text)
}

// Escape returns a text with escapes in place of the characters that control a terminal. It
// returns a text without such characters as it is.
func Escape(text []byte) []byte {
	var dst []byte
	clean := 0 // the text before it is in dst
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		if r == '\n' || r == '\t' || !controls(r, size) {
			i += size
			continue
		}
		dst = append(dst, text[clean:i]...)
		if high, low := utf16.EncodeRune(r); high != utf8.RuneError {
			dst = fmt.Appendf(dst, `\u%04x\u%04x`, high, low)
		} else {
			dst = fmt.Appendf(dst, `\u%04x`, r)
		}
		i += size
		clean = i
	}
	if clean == 0 {
		return text
	}
	return append(dst, text[clean:]...)
}

// controls reports whether a character controls a terminal, changes the order in which text
// is shown (https://www.unicode.org/reports/tr9/), ends a line, or is an invalid byte.
func controls(r rune, size int) bool {
	switch {
	case r < ' ', r >= 0x7f && r < 0xa0:
		return true
	case r < 0x61c:
		return false
	case r == 0x61c, r == 0x200e, r == 0x200f, r >= 0x2028 && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
		return true
	case r >= 0xe0000 && r <= 0xe007f: // invisible tags
		return true
	}
	return r == utf8.RuneError && size == 1
}

// Plain returns a text that stays on one line and in one column: with a question mark in
// place of each line feed, tab, or other character that controls a terminal.
func Plain(text string) string {
	return strings.Map(func(r rune) rune {
		if controls(r, len(string(r))) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
}
