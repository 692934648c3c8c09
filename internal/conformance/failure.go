package conformance

import (
	"fmt"
	"strings"

	"github.com/oskadev/mailroom/internal/conformance/trace"
)

// failure is the error of a check: the worker did not do what the protocol demands.
type failure struct {
	expected string
	seen     string
	commands []string // the relevant commands or frames
}

// Error returns both in one line.
func (f *failure) Error() string { return "expected " + f.expected + "; saw " + f.seen }

// failed returns a failure.
func failed(expected, format string, args ...any) *failure {
	return &failure{expected: expected, seen: oneLine(fmt.Sprintf(format, args...))}
}

// with adds commands to a failure.
func (f *failure) with(commands ...trace.Command) *failure {
	for i := range commands {
		f.commands = append(f.commands, commands[i].String())
	}
	return f
}

// oneLine shortens a text to one line.
func oneLine(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	const longest = 400
	if len(text) > longest {
		return strings.ToValidUTF8(text[:longest], "") + "…"
	}
	return text
}
