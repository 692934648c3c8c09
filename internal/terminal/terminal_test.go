package terminal

import (
	"bytes"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// clean checks that a text controls no terminal.
func clean(t *testing.T, text string) {
	t.Helper()
	assert.True(t, utf8.ValidString(text))
	for _, r := range text {
		if r != '\n' && r != '\t' && controls(r, utf8.RuneLen(r)) {
			assert.Fail(t, "a control character reaches the terminal", "%U in %.300q", r, text)
			return
		}
	}
}

func TestTerminalKeepsText(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w := New(&out)
	const text = "ä\t€ 😀\n" + `{"a":"b\u001b"}` + "\n"
	for i := range len(text) { // characters in pieces
		n, err := w.Write([]byte(text[i : i+1]))
		require.NoError(t, err)
		require.Equal(t, 1, n)
	}
	assert.Equal(t, text, out.String())
	out.Reset()
	_, _ = w.Write([]byte("a\xffb\xc3(\x1b\U000e0041" + "c"))
	assert.Equal(t, `a\ufffdb\ufffd(\u001b\udb40\udc41c`, out.String())
}

// FuzzTerminal writes any bytes in two pieces.
func FuzzTerminal(f *testing.F) {
	f.Add([]byte("evil\x1b]0;owned\x07\x1b[2J\u009b31m\u202egnp\u2066\u200f\u2028\x7f\r"), 3)
	f.Fuzz(func(t *testing.T, text []byte, at int) {
		var whole, pieces bytes.Buffer
		_, _ = New(&whole).Write(text)
		w := New(&pieces)
		at = max(0, min(at, len(text)))
		_, _ = w.Write(text[:at])
		_, _ = w.Write(text[at:])
		assert.Equal(t, whole.String(), pieces.String())
		clean(t, pieces.String())
		clean(t, Plain(string(text)))
		assert.NotContains(t, Plain(string(text)), "\n")
	})
}

// Texts of services and callers cannot control a terminal.
func TestPlainTexts(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "a?[31m?b ä? c??", Plain("a\x1b[31m\u009bb ä\n c\u202e\xff"))
}
