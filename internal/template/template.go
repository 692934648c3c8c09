// Package template fills the arguments of an action into names that are declared
// with it: of the tags of a cached answer, and of lanes.
package template

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// longest is how many bytes a template may have.
const longest = 128

// Fill fills arguments, a JSON array, into a template: {0} becomes the first one. A
// string stands as it is, anything else as compact JSON; bytes other than letters,
// digits and "-_.~" are percent-encoded. An argument that is not there is an error.
func Fill(template, args string) (string, error) {
	if !strings.Contains(template, "{") {
		return template, nil
	}
	var list []json.RawMessage
	if err := json.Unmarshal([]byte(args), &list); err != nil {
		return "", fmt.Errorf("%s: the arguments are no JSON array: %w", template, err)
	}
	var filled strings.Builder
	for rest := template; rest != ""; {
		before, after, found := strings.Cut(rest, "{")
		filled.WriteString(before)
		if !found {
			break
		}
		number, behind, closed := strings.Cut(after, "}")
		n, err := strconv.Atoi(number)
		if !closed || err != nil || n < 0 || n >= len(list) {
			return "", fmt.Errorf("%s: there is no argument {%s}", template, number)
		}
		writeEscaped(&filled, list[n])
		rest = behind
	}
	return filled.String(), nil
}

func writeEscaped(dst *strings.Builder, value json.RawMessage) {
	var text string
	if json.Unmarshal(value, &text) != nil {
		text = string(value)
	}
	const hex = "0123456789ABCDEF"
	for i := range len(text) {
		switch b := text[i]; {
		case b >= '0' && b <= '9', b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', strings.IndexByte("-_.~", b) >= 0:
			dst.WriteByte(b)
		default:
			dst.Write([]byte{'%', hex[b>>4], hex[b&15]})
		}
	}
}

// Check returns the fault of a template for an action with this number of arguments; nil:
// it has none.
func Check(template string, arguments int) error {
	if template == "" || len(template) > longest {
		return fmt.Errorf("%.40q: want 1 to %d bytes", template, longest)
	}
	if i := strings.IndexFunc(template, func(r rune) bool { return r <= ' ' || r > '~' || r == ',' }); i >= 0 {
		return fmt.Errorf("%q: %q cannot stand there", template, template[i])
	}
	list := make([]string, arguments)
	for i := range list {
		list[i] = "0"
	}
	_, err := Fill(template, "["+strings.Join(list, ",")+"]")
	return err
}

// Matches reports whether a template can be filled to this name.
func Matches(template, name string) bool {
	before, after, found := strings.Cut(template, "{")
	rest, ok := strings.CutPrefix(name, before)
	if !found || !ok {
		return ok && rest == ""
	}
	_, behind, _ := strings.Cut(after, "}")
	for i := range len(rest) + 1 { // what the argument is filled to
		if Matches(behind, rest[i:]) {
			return true
		}
		if i < len(rest) && strings.IndexByte("-_.~%", rest[i]) < 0 && (rest[i] < '0' || rest[i] > 'z' || rest[i] > '9' && rest[i] < 'A' || rest[i] > 'Z' && rest[i] < 'a') {
			return false
		}
	}
	return false
}
